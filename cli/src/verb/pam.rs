//! `berth pam`: Berth's lines in PAM's files.

mod change;
mod status;
mod trial;

use std::path::PathBuf;

use crate::caller;
use crate::exit::Exit;
use crate::pam_stack::Change;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tell which services have Berth's lines, and whether in the right place
    #[command(after_help = "\
Exit status: 0 all of them have the lines, in the right place; 1 one has not.

Without SERVICE it is every service that logs people in and is on this machine, and every
other that has lines of Berth's.")]
    Status {
        /// A PAM service, as in sshd
        #[arg(value_name = "SERVICE", value_parser = super::service)]
        services: Vec<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Look at PAM's files of the system mounted at DIR
        #[arg(
            long,
            value_name = "DIR",
            default_value = "/",
            hide_default_value = true
        )]
        root: PathBuf,
    },
    /// Put Berth's lines into a service's file
    #[command(after_help = "\
Exit status: 0 they are there; 1 nothing is changed, as no policy is loaded, a test login failed,
no user's could be tested, a file cannot be changed by this command, or the answer was no; 4 only
root may do this; 5 done in some of the services, and not in others.

What will change is shown. Then root and a local user whom the policy covers are logged in
through the new stack, by libpam itself, from a copy of /etc/pam.d. Only when that went well
the file is replaced, in one step. The one before is kept under /var/lib/berth/pam.d.")]
    Enable {
        #[command(flatten)]
        services: Services,
        /// Put the lines in even if no user's login can be tested
        #[arg(long)]
        untested: bool,
    },
    /// Take Berth's lines out of a service's file
    #[command(after_help = "\
Exit status: as that of enable, but that no user's login has to be tested.

Takes out just the lines that enable puts in. Where others have pam_berth it names them, to be
taken out by hand first, and changes nothing in that file.")]
    Disable(Services),
}

#[derive(Debug, clap::Args)]
struct Services {
    /// A PAM service, as in sshd
    #[arg(value_name = "SERVICE", required = true, value_parser = super::service)]
    services: Vec<String>,
    /// Test the login of this user, instead of the first local one whom the policy covers
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let (change, services, untested) = match &arguments.what {
        What::Status {
            services,
            json,
            root,
        } => return status::run(root, services, *json),
        What::Enable { services, untested } => (Change::Enable, services, *untested),
        What::Disable(services) => (Change::Disable, services, false),
    };
    caller::only_root("change PAM's files")?;
    change::run(change, services, untested)
}
