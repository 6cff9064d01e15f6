//! Tests of a track.

use std::time::Duration;

use super::{Look, Mean, Process, Track, Tracks};
use crate::own_folder::Folder;

const WINDOW: Duration = Duration::from_secs(120);
const SECOND: u64 = 1_000_000;

fn look(second: u64, cpu: u64, processes: &[Process]) -> Look {
    Look {
        group: 7,
        at: second * 1000,
        cpu: cpu * SECOND,
        memory: 1 << 20,
        processes: processes.to_vec(),
    }
}

/// A process with seconds of its own and of its children.
fn process(pid: i32, parent: i32, own: u64, children: u64, is_excepted: bool) -> Process {
    Process {
        pid,
        parent,
        started: 1,
        own: own * SECOND,
        children: children * SECOND,
        is_excepted,
        ..Process::default()
    }
}

/// Looks a minute apart: the seconds of CPU time that count of the whole.
fn counted(looks: &[(u64, &[Process])]) -> u64 {
    let (first, rest) = looks.split_first().unwrap();
    let mut track = Track::begin(look(0, first.0, first.1));
    for (minute, (cpu, processes)) in (1..).zip(rest) {
        track.look(look(minute * 60, *cpu, processes), WINDOW);
    }
    track.now.cpu / SECOND
}

#[test]
fn a_mean_is_over_real_time_and_the_whole_window() {
    let mut track = Track::begin(look(0, 100, &[]));
    assert_eq!(track.look(look(10, 110, &[]), WINDOW), None);
    assert_eq!(track.look(look(20, 120, &[]), WINDOW), None);
    let mean = |cpu| {
        Some(Mean {
            cpu,
            memory: 1 << 20,
        })
    };
    assert_eq!(track.look(look(120, 160, &[]), WINDOW), mean(500_000));
    // From the 10th second on, and not from the beginning.
    assert_eq!(track.look(look(130, 230, &[]), WINDOW), mean(SECOND));
    // Late by some: the mean is over all of the time.
    assert_eq!(track.look(look(260, 230, &[]), WINDOW), mean(0));
}

#[test]
fn a_track_that_begins_long_after_the_boot_has_no_mean_before_a_window_is_over() {
    let mut track = Track::begin(look(90_000, 100, &[]));
    assert_eq!(track.look(look(90_060, 110, &[]), WINDOW), None);
    let mean = track.look(look(90_120, 160, &[]), WINDOW).unwrap();
    assert_eq!(mean.cpu, SECOND / 2);
}

#[test]
fn what_a_program_used_before_it_was_seen_is_judged_with_its_end_and_once() {
    let make = |children| process(1, 0, 0, children, true);
    // A compiler: 50 s before it is seen and 10 s after. Beside make, others use 50 s.
    let compiler = |own| process(2, 1, own, 0, true);
    assert_eq!(
        counted(&[
            (0, &[make(0)]),
            (50, &[make(0), compiler(50)]),
            (60, &[make(0), compiler(60)]),
            (160, &[make(110)]),
        ]),
        50
    );
    // A shell that becomes the compiler: what it used until then counts, and is not taken back.
    let shell = |own| process(2, 1, own, 0, false);
    assert_eq!(
        counted(&[
            (0, &[make(0)]),
            (20, &[make(0), shell(20)]),
            (30, &[make(0), compiler(30)]),
            (80, &[make(30)]),
        ]),
        80
    );
}

#[test]
fn tracks_are_read_as_they_were_written() {
    let root = Folder::new();
    let places = crate::Places::under(&root);
    assert_eq!(
        Tracks::read(&places).unwrap(),
        Tracks::default(),
        "none yet"
    );
    std::fs::create_dir_all(places.tracks.parent().unwrap()).unwrap();
    let tracks = Tracks {
        users: [(1001, Track::begin(look(7, 8, &[process(2, 1, 9, 0, true)])))].into(),
        wall: 5,
        boot: 6,
    };
    tracks.write(&places).unwrap();
    assert_eq!(Tracks::read(&places).unwrap(), tracks);
}

#[test]
fn memory_counts_as_long_as_it_is_in_use() {
    let with = |second, memory: u64| Look {
        memory,
        ..look(second, 0, &[])
    };
    let mut track = Track::begin(with(0, 0));
    track.look(with(60, 300 << 20), WINDOW);
    let mean = track.look(with(120, 300 << 20), WINDOW).unwrap();
    assert_eq!(mean.memory, 225 << 20);
}

#[test]
fn what_was_not_seen_is_no_use_of_the_machine() {
    let begun = || {
        let mut track = Track::begin(look(0, 1000, &[]));
        track.look(look(60, 1060, &[]), WINDOW);
        track
    };
    let mut goes_on = begun();
    assert!(goes_on.look(look(120, 1120, &[]), WINDOW).is_some());
    for new_beginning in [
        look(120, 5, &[]),    // logged out and in
        look(500, 1500, &[]), // the timer stood still
        look(50, 1120, &[]),  // of another boot
        Look {
            group: 8,
            ..look(120, 2000, &[])
        },
    ] {
        let mut track = begun();
        assert_eq!(
            track.look(new_beginning.clone(), WINDOW),
            None,
            "{new_beginning:?}"
        );
        assert_eq!(track, Track::begin(new_beginning));
    }
}

#[test]
fn after_a_step_a_window_begins_anew() {
    let mut track = Track::begin(look(0, 0, &[]));
    track.look(look(60, 60, &[]), WINDOW);
    assert!(track.look(look(120, 120, &[]), WINDOW).is_some());
    track.begin_anew();
    assert_eq!(track.look(look(180, 180, &[]), WINDOW), None);
    assert_eq!(
        track.look(look(240, 180, &[]), WINDOW).unwrap().cpu,
        SECOND / 2
    );
}

#[test]
fn marks_do_not_pile_up() {
    let mut track = Track::default();
    for second in 1..5000 {
        track.look(look(second, second, &[]), WINDOW);
    }
    assert!(track.marks.len() < 70, "{}", track.marks.len());
    assert_eq!(
        track.look(look(5000, 5000, &[]), WINDOW).unwrap().cpu,
        SECOND
    );
}

#[test]
fn an_excepted_program_does_not_count_and_another_does() {
    let rsync = |own| process(10, 1, own, 0, true);
    let python = |own| process(11, 1, own, 0, false);
    let looks: &[(u64, &[Process])] = &[
        (0, &[rsync(0), python(0)]),
        (90, &[rsync(50), python(40)]),
        (170, &[rsync(100), python(70)]),
    ];
    assert_eq!(counted(looks), 70);
    // Only from the second look on: what ran before it in the same process is not known.
    let hog_then_make: &[(u64, &[Process])] = &[
        (0, &[]),
        (55, &[process(12, 1, 55, 0, true)]),
        (55, &[process(12, 1, 55, 0, true)]),
    ];
    assert_eq!(counted(hog_then_make), 55);
    let became_make: &[(u64, &[Process])] = &[
        (0, &[process(12, 1, 0, 0, false)]),
        (55, &[process(12, 1, 55, 0, true)]),
        (60, &[process(12, 1, 60, 0, true)]),
    ];
    assert_eq!(counted(became_make), 55);
}

#[test]
fn short_lived_children_of_an_excepted_program_do_not_count() {
    let make = |children| process(10, 1, 0, children, true);
    let looks: &[(u64, &[Process])] = &[(0, &[make(0)]), (55, &[make(55)]), (110, &[make(110)])];
    assert_eq!(counted(looks), 0);
    // Through the shell of a rule too, which goes on meanwhile.
    let sh = |children| process(11, 10, 0, children, false);
    let looks: &[(u64, &[Process])] = &[
        (0, &[make(0), sh(0)]),
        (55, &[make(0), sh(55)]),
        (110, &[make(110)]),
    ];
    assert_eq!(counted(looks), 0);
}

#[test]
fn a_hog_under_make_is_not_free() {
    let make = |children| process(10, 1, 0, children, true);
    let sh = |children| process(11, 10, 0, children, false);
    let hog = |own| process(12, 11, own, 0, false);
    let looks: &[(u64, &[Process])] = &[
        (0, &[make(0), sh(0), hog(0)]),
        (60, &[make(0), sh(0), hog(60)]),
        (120, &[make(0), sh(0), hog(120)]),
        // It has ended, and all it used is make's children's.
        (180, &[make(125)]),
        (185, &[make(125)]),
    ];
    // All but the 5 s since the last look at it, and 55 s that nobody saw it use.
    assert_eq!(counted(looks), 180);
}

#[test]
fn what_an_excepted_child_used_is_not_taken_off_twice() {
    let make = |children| process(10, 1, 0, children, true);
    let cc1 = |own| process(11, 10, own, 0, true);
    let other = |own| process(20, 1, own, 0, false);
    let looks: &[(u64, &[Process])] = &[
        (0, &[make(0), cc1(0), other(0)]),
        (60, &[make(0), cc1(50), other(10)]),
        (120, &[make(55), other(65)]),
    ];
    assert_eq!(counted(looks), 65);
}

#[test]
fn nothing_is_below_zero_and_no_circle_of_parents_is_endless() {
    let looks: &[(u64, &[Process])] = &[
        (
            0,
            &[process(10, 11, 0, 0, false), process(11, 10, 0, 0, false)],
        ),
        (
            5,
            &[
                process(10, 11, 60, 600, true),
                process(11, 10, 0, 600, false),
            ],
        ),
        (6, &[]),
        (7, &[process(10, 11, 1, 1, true)]),
        (8, &[process(10, 11, 100, 100, true)]),
    ];
    assert_eq!(counted(looks), 7);
}

#[test]
fn a_long_chain_of_parents_is_gone_through_once() {
    // From each of 100,000 processes up to the top there are 5,000,000,000 steps.
    let chain = |top: bool| {
        let below = (2..100_000).map(|pid| process(pid, pid - 1, 1, 0, false));
        let above = top.then(|| process(1, 0, 0, 7, true));
        above.into_iter().chain(below).rev().collect::<Vec<_>>()
    };
    let (all, top) = (chain(true), chain(true).split_off(99_998));
    assert_eq!(counted(&[(0, &all), (9, &all), (9, &top)]), 9);
    assert_eq!(counted(&[(0, &chain(false)), (9, &chain(false))]), 9);
}

#[test]
fn figures_of_a_file_add_up_to_no_more_than_there_are() {
    let hog = |pid| Process {
        own: u64::MAX,
        ..process(pid, 1, 0, 0, false)
    };
    let looks: &[(u64, &[Process])] = &[
        (0, &[process(1, 0, 0, 0, true), hog(2), hog(3)]),
        (5, &[process(1, 0, 0, 9, true)]),
    ];
    assert_eq!(counted(looks), 5);
    let tracks = Tracks {
        wall: u64::MAX >> 1,
        ..Tracks::default()
    };
    assert!(tracks.jump(0, u64::MAX) < 0);
    assert!(tracks.jump(u64::MAX, 0) > 0);
}

#[test]
fn a_clock_that_is_set_is_told_from_time_that_passes() {
    let tracks = Tracks {
        wall: 10_000,
        boot: 50_000,
        ..Tracks::default()
    };
    assert_eq!(tracks.jump(10_060, 110_000), 0);
    assert_eq!(tracks.jump(13_660, 110_000), 3600);
    assert_eq!(tracks.jump(6_460, 110_000), -3600);
    let drift = [10_065, 10_066, 10_055, 10_054].map(|wall| tracks.jump(wall, 110_000));
    assert_eq!(drift, [0, 6, 0, -6]);
    assert_eq!(tracks.jump(99_000, 1_000), 0, "another boot");
    assert_eq!(Tracks::default().jump(10_000, 50_000), 0, "the first round");
}
