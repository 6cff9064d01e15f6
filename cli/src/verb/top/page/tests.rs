//! The screen, cell by cell.

use std::time::Duration;

use berth_session::{Limits, Pressure, Usage};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::text::Text;

use super::*;
use crate::verb::top::keys::{Act, Press};
use crate::verb::top::model::{Key, Machine, Sample};

const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000_000;

fn figures(used: u64, memory: u64, tasks: u64, caps: (f64, u64, u64), psi: f64) -> Figures {
    Figures {
        cpu_percent: None,
        usage: Usage {
            cpu_us: Some(used),
            memory: Some(memory),
            tasks: Some(tasks),
            oom_kills: Some(1),
            tasks_refused: Some(4),
            ..Usage::default()
        },
        limits: Limits {
            cpu_percent: Some(caps.0),
            memory: Some(caps.1),
            tasks: Some(caps.2),
        },
        pressure: Pressure {
            cpu: Some(psi),
            memory: Some(0.0),
            io: Some(psi / 2.0),
        },
    }
}

fn row(uid: u32, texts: [&str; 3], figures: Figures) -> Row {
    Row {
        key: Key::User(uid),
        object: Some(format!("user:{}", texts[0])),
        texts: texts.map(String::from),
        lingers: false,
        is_stale: false,
        is_frozen: texts[0] == "bob",
        figures,
    }
}

/// Three users at a moment, who have used so many microseconds of CPU.
fn sample(at: u64, eve: u64, alice: u64) -> Sample {
    let rows = vec![
        row(
            1001,
            ["alice", "student", "cs101"],
            figures(alice, GIB * 13 / 10, 34, (800.0, 3 * GIB, 256), 4.2),
        ),
        row(
            1002,
            ["bob", "staff", "-"],
            figures(7, 611 << 20, 12, (400.0, 16 * GIB, 512), 0.0),
        ),
        row(
            1003,
            ["eve", "ta", "-"],
            figures(eve, GIB * 78 / 10, 61, (400.0, 8 * GIB, 512), 31.0),
        ),
    ];
    let mut all = figures(eve + alice, GIB * 99 / 10, 107, (1600.0, 64 * GIB, 0), 8.0);
    all.limits = Limits::default();
    all.pressure.io = Some(1.0);
    Sample {
        at: Duration::from_secs(at),
        machine: Machine {
            host: "lab1".into(),
            clock: "10:12:09".into(),
            load: Some("6.10".into()),
            cpus: Some(16.0),
            memory: Some(64 * GIB),
            sessions: 6,
            users: 5,
            figures: all,
            bites: Bites {
                killed: 3,
                refused: 12,
                since: Since::Midnight,
            },
        },
        rows,
    }
}

/// Three minutes of work.
fn model() -> Model {
    let mut model = Model::new(View::Users, Duration::from_secs(1));
    let (mut eve, mut alice) = (0, 0);
    for second in 0..=179 {
        model.take(sample(second, eve, alice));
        let (of_eve, of_alice) = match second {
            ..22 => (0, 30),
            22..45 => (200, 20),
            45..68 => (399, 80),
            68..157 => (399, 181),
            157..178 => (399, 100),
            _ => (399, 181),
        };
        eve += of_eve * SECOND / 100;
        alice += of_alice * SECOND / 100;
    }
    model
}

/// What a terminal of this size shows.
fn shown(model: &mut Model, (width, height): (u16, u16)) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            model.fit(room(height));
            let lines = screen(model, (width, height), Paint::Colours);
            frame.render_widget(Text::from(lines), frame.area());
        })
        .unwrap();
    terminal.backend().clone()
}

fn lines(model: &mut Model, size: (u16, u16)) -> Vec<String> {
    let backend = shown(model, size);
    let cells = backend.buffer().content().chunks(size.0.into());
    let line = |cells: &[ratatui::buffer::Cell]| {
        cells.iter().map(|cell| cell.symbol()).collect::<String>()
    };
    cells
        .map(|cells| line(cells).trim_end().to_owned())
        .collect()
}

fn press(model: &mut Model, keys: &str) -> Act {
    let mut act = Act::Draw;
    for key in keys.chars() {
        act = model.press(match key {
            'v' => Press::Down,
            '^' => Press::Up,
            '\n' => Press::Enter,
            '\x1b' => Press::Escape,
            letter => Press::Letter(letter),
        });
    }
    act
}

/// The names in the first column.
fn names(model: &Model) -> Vec<&str> {
    model
        .rows()
        .iter()
        .map(|row| row.texts[0].as_str())
        .collect()
}

#[test]
fn what_caps_did_is_of_today_or_says_since_when() {
    let of = |refused, since| {
        bites(&Bites {
            killed: 1,
            refused,
            since,
        })
    };
    assert_eq!(of(1, Since::Midnight), "Today   1 OOM kill, 1 refused task");
    assert_eq!(of(2, Since::Unknown), "So far  1 OOM kill, 2 refused tasks");
    let moment = LocalTime::parse("2026-11-24T12:00").unwrap().moment();
    let seconds = moment.unwrap().duration_since(UNIX_EPOCH).unwrap();
    let since = of(2, Since::Opened(seconds.as_secs()));
    assert_eq!(since, "Since 11-24  1 OOM kill, 2 refused");
}

#[test]
fn the_screen_is_as_it_was_designed() {
    let blank = " ".repeat(80);
    let mut expected = vec![
        "berth top  lab1  10:12:09    6 sessions, 5 users    load 6.10    every 1s      ",
        "CPU      580% of 1600%  ||||||..........   Memory  9.9G of 64G  ||..............",
        "Pressure cpu 8% memory 0% io 1%            Today   3 OOM kills, 12 refused tasks",
        &blank,
        "USER     PROFILE POOL     TASKS   CPU OF CAP   MEMORY OF CAP    PSI 3 MIN       ",
        "eve      ta      -       61/512  399% ||||||||   7.8G ||||||||  31% .:|||||| !  ",
        "alice    student cs101   34/256  181% ||......   1.3G |||.....   4% ..:||||:    ",
        "bob      staff   -       12/512    0% ........   611M ........   0% ........ F  ",
    ];
    expected.resize(22, &blank);
    expected.extend([
        "! at a cap  F frozen  L lingering  S stale: another policy or window of time    ",
        "u users  s sessions  p pools  <> sort  f freeze  t thaw  k kill  / find  q quit ",
    ]);
    let mut model = model();
    let shown = lines(&mut model, (80, 24));
    let expected: Vec<&str> = expected.iter().map(|line| line.trim_end()).collect();
    assert_eq!(shown.join("\n"), expected.join("\n"));
}

#[test]
fn a_wide_screen_has_room_for_names_and_a_small_one_says_so() {
    let mut model = model();
    let wide = lines(&mut model, (110, 12));
    assert!(
        wide[5].starts_with("eve                ta                -                 61/512  399%"),
        "{wide:#?}"
    );
    assert_eq!(wide.len(), 12);
    assert!(wide[11].starts_with("u users"));
    for size in [(79, 24), (80, 9)] {
        let small = lines(&mut model, size);
        assert_eq!(small[0], "berth top needs 80 columns and 10 rows,");
        assert_eq!(
            small[1],
            format!("and this terminal has {} and {}.", size.0, size.1)
        );
    }
    lines(&mut model, (1, 1));
}

#[test]
fn text_for_scripts_has_all_rows_and_no_keys() {
    let text = text(&model(), 20);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[7],
        "bob      staff   -       12/512    0% ........   611M ........   0% ........ F"
    );
    assert!(!text.contains('\x1b'));
}

#[test]
fn colours_are_for_what_they_mean_and_only_where_they_are_wanted() {
    let mut model = model();
    let backend = shown(&mut model, (80, 24));
    // A bar that is full, one that is not, and the mark.
    let colour = |x, y| backend.buffer()[(x, y)].fg;
    assert_eq!(
        [colour(38, 5), colour(38, 6), colour(77, 5)],
        [Color::Red, Color::Green, Color::Red]
    );
    let plain = screen(&model, (80, 24), Paint::Plain);
    let coloured = plain
        .iter()
        .flat_map(|line| &line.spans)
        .filter(|span| span.style.fg.is_some());
    assert_eq!(coloured.count(), 0);
    assert!(plain.iter().all(|line| line.style.fg.is_none()));
}

#[test]
fn what_is_not_known_is_a_dash_and_without_a_cap_there_is_no_bar() {
    let mut model = Model::new(View::Users, Duration::from_secs(1));
    let mut one = sample(0, 0, 0);
    one.rows.truncate(2);
    one.rows[0].figures = Figures::default();
    one.rows[0].texts[0] = "ev\x1b[2Jil-and-long".into();
    one.rows[1].figures.limits = Limits::default();
    one.machine = Machine::default();
    model.take(one);
    let shown = lines(&mut model, (80, 24));
    assert_eq!(
        shown[1],
        "CPU      -                                 Memory  -"
    );
    assert_eq!(
        shown[5],
        "bob      staff   -           12     -            611M            0%          F"
    );
    assert_eq!(
        shown[6],
        "ev\u{fffd}[2Ji+ student cs101        -     -               -             -"
    );
}

#[test]
fn rows_are_in_the_order_of_the_column_that_is_chosen() {
    let mut model = model();
    assert_eq!(names(&model), ["eve", "alice", "bob"]);
    press(&mut model, "<");
    assert_eq!(
        (model.sort, names(&model)),
        (Column::Tasks, vec!["eve", "alice", "bob"])
    );
    press(&mut model, "<<<<<");
    assert_eq!(
        (model.sort, names(&model)),
        (Column::Name, vec!["alice", "bob", "eve"])
    );
    press(&mut model, ">");
    assert_eq!(
        (model.sort, names(&model)),
        (Column::Second, vec!["bob", "alice", "eve"])
    );
    press(&mut model, ">>>>>>>>>");
    assert_eq!(model.sort, Column::Pressure);
}

#[test]
fn what_is_chosen_is_what_is_done_to_and_only_after_a_question_ended() {
    let run = |words: &[&str]| Act::Run(words.iter().map(|word| (*word).to_owned()).collect());
    let mut model = model();
    assert_eq!(press(&mut model, "f"), Act::Draw);
    assert_eq!(
        lines(&mut model, (80, 24))[22],
        "choose a row first, by the arrow keys"
    );
    assert_eq!(press(&mut model, "vvf"), run(&["freeze", "user:alice"]));
    assert_eq!(press(&mut model, "^t"), run(&["thaw", "user:eve"]));
    // It stays chosen wherever it goes.
    model.take(sample(180, 0, 999 * SECOND));
    assert_eq!(names(&model)[0], "alice");
    assert_eq!(press(&mut model, "k"), Act::Draw);
    assert_eq!(
        lines(&mut model, (80, 24))[22],
        "End all that user eve runs? y/N"
    );
    assert_eq!(press(&mut model, "n"), Act::Draw);
    assert_eq!(lines(&mut model, (80, 24))[22], "nothing is ended");
    assert_eq!(press(&mut model, "ky"), run(&["kill", "--yes", "user:eve"]));
    assert_eq!(press(&mut model, "kq"), Act::Draw);
    assert_eq!(press(&mut model, "q"), Act::Quit);
    // Gone: nobody else is in its place.
    let mut without = sample(181, 0, 0);
    without.rows.pop();
    model.take(without);
    assert_eq!(press(&mut model, "f"), Act::Draw);
}

#[test]
fn what_is_looked_for_is_all_that_is_shown() {
    let mut model = model();
    press(&mut model, "/CS1");
    assert_eq!(names(&model), ["alice"]);
    assert!(lines(&mut model, (80, 24))[22].starts_with("find: CS1_"));
    press(&mut model, "\nv");
    assert_eq!(
        lines(&mut model, (80, 24))[22],
        "only what has \"CS1\" in it   (Esc to see all)"
    );
    // Keys are for the table again.
    assert_eq!(press(&mut model, "q"), Act::Quit);
    press(&mut model, "\x1b");
    assert_eq!(names(&model), ["eve", "alice", "bob"]);
    press(&mut model, "/q");
    assert_eq!(names(&model), [""; 0]);
}

#[test]
fn many_rows_scroll_with_what_is_chosen() {
    let mut model = Model::new(View::Users, Duration::from_secs(1));
    let mut many = sample(0, 0, 0);
    let name = |number: u32| format!("user{number:03}");
    many.rows = (0..100)
        .map(|number| row(number, [&name(number), "-", "-"], Figures::default()))
        .collect();
    model.take(many);
    let first = |model: &mut Model| {
        lines(model, (80, 24))[5]
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(first(&mut model), "user000");
    press(&mut model, &"v".repeat(17));
    assert_eq!(first(&mut model), "user001");
    model.press(Press::End);
    assert_eq!(first(&mut model), "user084");
    press(&mut model, "^");
    assert_eq!(first(&mut model), "user084");
    model.press(Press::PageUp);
    assert_eq!(first(&mut model), "user082");
    assert_eq!(
        lines(&mut model, (80, 10))[5].split(' ').next(),
        Some("user082")
    );
    assert_eq!(first(&mut model), "user082");
    model.press(Press::Home);
    assert_eq!(first(&mut model), "user000");
}

#[test]
fn tasks_never_need_more_than_their_places() {
    let shown = [
        (61, Some(512), "61/512"),
        (34, Some(65_536), "34/65k"),
        (1234, Some(65_536), "1234"),
        (61, Some(4_194_304), "61"),
        (1234, None, "1234"),
    ];
    for (count, most, text) in shown {
        assert_eq!(tasks(count, most), text);
    }
}

#[test]
fn another_view_begins_without_rows_and_comes_back_with_its_history() {
    let mut model = model();
    assert_eq!(press(&mut model, "s"), Act::Read);
    assert_eq!(names(&model), [""; 0]);
    let mut of_session = sample(180, 0, 0);
    of_session.rows.truncate(1);
    of_session.rows[0].key = Key::Session("12".parse().unwrap());
    model.take(of_session);
    assert_eq!(press(&mut model, "s"), Act::Draw);
    assert_eq!(press(&mut model, "u"), Act::Read);
    model.take(sample(181, 900 * SECOND, 300 * SECOND));
    assert_ne!(model.history(&Key::User(1003)).trim(), "");
}
