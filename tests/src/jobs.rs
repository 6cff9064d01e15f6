//! Jobs of cron's and at's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::eventually;
use crate::machine::{background, output};
use crate::{Background, Machine};

const CRONTABS: &str = "/var/spool/cron/crontabs";

/// As the package makes it when it is installed.
const MAKE_SPOOL: &str = "cd /var/spool/cron && install -d -o daemon -g daemon -m 1770 atjobs atspool \
    && install -o daemon -g daemon -m 600 /dev/null atjobs/.SEQ";

impl Machine {
    /// Runs a command as a job of cron's, and gives back what it prints.
    #[track_caller]
    pub fn cron(&self, user: &str, command: &str) -> String {
        self.job(user, command, |job| self.start_cron(user, job))
    }

    /// Starts cron with a job of the user's, and with no other.
    fn start_cron(&self, user: &str, job: &Path) -> Background {
        // What remembers that the jobs of this boot have run.
        let _ = fs::remove_dir_all("/run/crond.reboot");
        let _ = fs::remove_file("/run/crond.reboot");
        let _ = fs::remove_dir_all(CRONTABS);
        fs::create_dir_all(CRONTABS).expect("spool");
        let table = Path::new(CRONTABS).join(user);
        let line = format!("MAILTO=\"\"\n@reboot sh {}\n", job.display());
        fs::write(&table, line).expect("crontab");
        chown(&table, Some(self.uid(user)), None).expect("chown");
        fs::set_permissions(&table, fs::Permissions::from_mode(0o600)).expect("chmod");
        let mut cron = Command::new("/usr/sbin/cron");
        cron.arg("-f");
        background(cron)
    }

    /// Runs a command as a job of atd's, and gives back what it prints.
    #[track_caller]
    pub fn at(&self, user: &str, command: &str) -> String {
        self.job(user, command, |job| self.start_atd(user, job))
    }

    /// Starts atd with a job of the user's.
    fn start_atd(&self, user: &str, job: &Path) -> Background {
        // With a job that was refused, which atd has taken and not run.
        let _ = fs::remove_dir_all("/var/spool/cron/atjobs");
        self.host(MAKE_SPOOL).ok();
        fs::write("/etc/at.deny", "").expect("at.deny");
        // From a process of the user's outside every berth: inside, at's setuid bit does nothing.
        let uid = self.uid(user).to_string();
        let mut at = Command::new("setpriv");
        at.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
            .args(["at", "-f"])
            .arg(job)
            .arg("now")
            .current_dir(Path::new("/home").join(user));
        output(at).ok();
        let mut atd = Command::new("/usr/sbin/atd");
        atd.arg("-f");
        background(atd)
    }

    /// Has cron and atd try a job each, and fails unless Berth refuses both.
    #[track_caller]
    pub fn jobs_are_refused(&self, user: &str) {
        let home = PathBuf::from("/home").join(user);
        let (job, ran) = (home.join("job"), home.join("job.ran"));
        fs::write(&job, format!("touch {}\n", ran.display())).expect("job");
        for (service, start) in [
            (
                "cron",
                Machine::start_cron as fn(&Machine, &str, &Path) -> Background,
            ),
            ("atd", Machine::start_atd),
        ] {
            let daemon = start(self, user, &job);
            let of_service = format!("service={service} ");
            let is_refusal =
                |line: &String| line.contains(&of_service) && line.contains("result=deny");
            let refused = eventually(|| self.log_lines().iter().any(is_refusal));
            assert!(refused, "{service}: {:#?}", self.log_lines());
            // Whatever it does with a refused job is done then.
            assert!(is_idle(&daemon), "{service} goes on");
            daemon.end();
            assert!(!ran.exists(), "{service}");
        }
    }

    /// Has a daemon run a command, and gives back what it prints when all is over.
    #[track_caller]
    fn job(&self, user: &str, command: &str, start: impl FnOnce(&Path) -> Background) -> String {
        let home = PathBuf::from("/home").join(user);
        let (job, said) = (home.join("job"), home.join("job.said"));
        let text = format!(
            "({command}) >{0}.part 2>&1\nmv {0}.part {0}\n",
            said.display()
        );
        fs::write(&job, text).expect("job");
        // What an earlier job said.
        let _ = fs::remove_file(&said);
        let daemon = start(&job);
        let ended = eventually(|| said.exists());
        assert!(ended, "the job did not run: {:#?}", self.log_lines());
        let said = fs::read_to_string(&said).expect("what the job said");
        // The daemon's own child must end its session before the daemon is killed.
        assert!(is_idle(&daemon), "its session goes on");
        daemon.end();
        said.trim_end().to_owned()
    }
}

fn is_idle(daemon: &Background) -> bool {
    eventually(|| daemon.process().descendants().is_empty())
}
