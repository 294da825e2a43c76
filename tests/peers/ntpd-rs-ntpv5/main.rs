//! The daemon of ntpd-rs.

fn main() -> std::process::ExitCode {
    match ntpd::daemon_main() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
