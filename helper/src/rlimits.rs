//! A policy's resource limits, as the kernel takes them.

use berth_config::outcome::{Limit, Resource, Rlimit};

/// What the module sets for the application.
pub fn of_application(rlimits: &[Rlimit]) -> Vec<berth_protocol::Rlimit> {
    let limits = rlimits.iter().map(|rlimit| berth_protocol::Rlimit {
        name: rlimit.resource.name().into(),
        resource: number(rlimit.resource),
        soft: value(rlimit.soft),
        hard: value(rlimit.hard),
    });
    limits.collect()
}

/// What a user namespace takes from its maker as ceilings for everybody in it: as high as the policy
/// lets the user go, or the application, for what the policy leaves to it: pam_limits may have raised that since the
/// helper was started. And no ceiling of its own on processes.
pub fn ceilings(
    rlimits: &[Rlimit],
    application: impl Fn(u32) -> nix::Result<u64>,
) -> Vec<(u32, libc::rlimit)> {
    let both = |value| libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    let of = |resource| {
        let own = rlimits.iter().find(|rlimit| rlimit.resource == resource);
        let number = number(resource);
        // One that has ended needs none.
        let hard = own.map_or_else(|| application(number).ok(), |own| Some(value(own.hard)));
        hard.map(|hard| (number, both(hard)))
    };
    [Resource::Memlock, Resource::Msgqueue, Resource::Sigpending]
        .into_iter()
        .filter_map(of)
        .chain([(libc::RLIMIT_NPROC, both(libc::RLIM_INFINITY))])
        .collect()
}

fn value(limit: Limit) -> u64 {
    match limit {
        Limit::Finite(value) => value,
        Limit::Infinity => libc::RLIM_INFINITY,
    }
}

fn number(resource: Resource) -> u32 {
    match resource {
        Resource::As => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_gets_its_limits_and_a_namespace_the_highest_of_those_that_are_ceilings() {
        let limit = |resource, soft, hard| Rlimit {
            resource,
            soft: Limit::Finite(soft),
            hard,
        };
        let limits = [
            limit(Resource::Nofile, 1024, Limit::Finite(65536)),
            limit(Resource::Memlock, 7, Limit::Finite(9)),
            limit(Resource::Sigpending, 1, Limit::Infinity),
        ];
        let told = of_application(&limits);
        let told = told.iter().map(|one| (one.resource, one.soft, one.hard));
        let infinity = libc::RLIM_INFINITY;
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                (libc::RLIMIT_NOFILE, 1024, 65536),
                (libc::RLIMIT_MEMLOCK, 7, 9),
                (libc::RLIMIT_SIGPENDING, 1, infinity),
            ]
        );
        let ceilings = ceilings(&limits, |_| Ok(5)).into_iter();
        assert_eq!(
            ceilings
                .map(|(resource, both)| (resource, both.rlim_cur, both.rlim_max))
                .collect::<Vec<_>>(),
            [
                (libc::RLIMIT_MEMLOCK, 9, 9),
                (libc::RLIMIT_MSGQUEUE, 5, 5),
                (libc::RLIMIT_SIGPENDING, infinity, infinity),
                // Each user has a count of their own in there: the cap is tasks_max.
                (libc::RLIMIT_NPROC, infinity, infinity),
            ]
        );
    }
}
