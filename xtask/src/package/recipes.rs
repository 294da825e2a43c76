//! The recipes of package formats: `packaging/build.sh`, `packaging/install.sh` and `packaging/sysusers.d` are what all of them
//! use, and only the rpm lists files once more.

use crate::cargo::{FIPS, programs, workspace};
use crate::{completions, licences};
use bench::programs::Place;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn recipe(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(command: &mut Command) {
    let output = command.output().expect("there is a shell");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Files and links below a folder, without the pages in docs, which are all of them in each package.
fn below(root: &Path) -> BTreeSet<String> {
    let files = super::walk(root).expect("it was just written");
    let names = files.iter().filter(|path| !path.is_dir() || path.is_symlink());
    let names = names.map(|path| path.strip_prefix(root).expect("below").display().to_string());
    names.filter(|name| !name.starts_with("usr/share/doc/truechimer/docs/")).collect()
}

/// Where a program is installed.
fn place_of(program: &str) -> String {
    match program {
        "chimerctl" => format!("usr/bin/{program}"),
        "truechimer-metrics" => format!("usr/sbin/{program}"),
        _ => format!("usr/lib/truechimer/{program}"),
    }
}

/// A root that install.sh has filled from programs that are only their names.
fn installed(place: &Place, managers: &[&str]) -> std::path::PathBuf {
    let (folder, filled, root) = (place.join("programs"), place.join("completions"), place.join("root"));
    fs::create_dir(&folder).expect("ours");
    for (_, program) in programs() {
        fs::write(folder.join(program), program).expect("ours");
    }
    completions::fill(&filled).expect("ours");
    let mut command = Command::new("/bin/sh");
    command.arg(workspace().join("packaging/install.sh")).arg(&root).arg(&folder).args(managers);
    run(command.env("COMPLETIONS", &filled));
    root
}

#[test]
fn everything_is_installed_with_the_mode_that_it_needs() {
    let place = Place::new("recipes");
    let root = installed(&place, &["systemd"]);
    let found = below(&root);
    for (_, program) in programs() {
        let name = place_of(program);
        assert_eq!(fs::read_to_string(root.join(&name)).ok().as_deref(), Some(program), "{name}");
    }
    for (shell, name) in completions::SHELLS {
        let end = format!("/{name}");
        let of_shell = |path: &&String| path.contains(&format!("/{shell}")) && path.ends_with(&end);
        assert_eq!(found.iter().filter(of_shell).count(), 1, "{shell}: {found:?}");
    }
    // Who may read what.
    use std::os::unix::fs::PermissionsExt;
    for name in &found {
        let data = fs::symlink_metadata(root.join(name)).expect("it is there");
        let is_run = name.starts_with("usr/bin/")
            || name.starts_with("usr/sbin/")
            || name.starts_with("usr/lib/truechimer/")
            || name.ends_with("dispatcher.d/20-truechimer");
        let mode = match name.contains("/truechimer-keeper") {
            true => 0o711,
            false if is_run => 0o755,
            false => 0o644,
        };
        assert!(data.is_symlink() || data.permissions().mode() & 0o7777 == mode, "{name}: {data:?}");
    }
}

#[test]
fn the_page_for_packagers_has_the_modes_of_what_is_installed() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("page");
    let root = installed(&place, &["systemd"]);
    let mut rows = 0;
    for line in recipe("docs/packaging.md").lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [path, "root", mode, ..] = cells[..] else { continue };
        let path = path.trim_matches('`');
        if path.starts_with("/var/") || path.starts_with("/run/") {
            continue;
        }
        let data = fs::metadata(root.join(&path[1..])).unwrap_or_else(|error| panic!("{path}: {error}"));
        let found = format!("{:o}", data.permissions().mode() & 0o7777);
        assert_eq!(mode.split(' ').next(), Some(found.as_str()), "{path}");
        rows += 1;
    }
    assert!(rows > 4, "docs/packaging.md has no table of paths: {rows}");
}

#[test]
fn each_service_manager_has_its_files_and_an_unknown_one_is_refused() {
    let place = Place::new("managers");
    let found = below(&installed(&place, &["openrc", "runit", "s6", "apparmor"]));
    for file in [
        "etc/init.d/truechimer",
        "etc/conf.d/truechimer",
        "usr/lib/truechimer/openrc-supervised",
        "etc/sv/truechimer/run",
        "etc/sv/truechimer/finish",
        "etc/sv/truechimer/log/run",
        "etc/s6/sv/truechimer/run",
        "etc/s6/sv/truechimer/finish",
        "etc/s6/sv/truechimer/type",
        "etc/s6/sv/truechimer/notification-fd",
        "etc/apparmor.d/usr.lib.truechimer.truechimerd",
    ] {
        assert!(found.contains(file), "{file}: {found:?}");
    }
    assert!(!found.iter().any(|name| name.contains("systemd")), "{found:?}");
    let mut command = Command::new("/bin/sh");
    let script = workspace().join("packaging/install.sh");
    command.arg(script).arg(place.join("other")).arg(place.join("programs")).arg("upstart");
    let refused = command.output().expect("there is a shell");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn the_recipes_build_the_programs_that_are_installed() {
    let script = recipe("packaging/build.sh");
    let words: Vec<&str> = script.split_whitespace().collect();
    let built: BTreeSet<&str> = words.windows(2).filter(|pair| pair[0] == "-p").map(|pair| pair[1]).collect();
    assert_eq!(built, programs().into_iter().map(|(package, _)| package).collect(), "packaging/build.sh");
}

/// The exit code of packaging/build.sh with this value of a variable, and the words that cargo gets from it.
fn built_with(variable: &str, wish: &str) -> (Option<i32>, String) {
    let place = Place::new("build");
    bench::programs::put_script(&place.join("cargo"), "echo \"$@\"");
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("/bin/sh");
    command.arg(workspace().join("packaging/build.sh")).arg("--offline").env("PATH", path);
    let output = command.env(variable, wish).output().expect("there is a shell");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_build_for_fips_140_has_the_feature_in_each_program_that_does_cryptography() {
    let asked = |wish: &str| built_with("FIPS", wish);
    let (code, words) = asked("1");
    let named: BTreeSet<&str> =
        words.split([' ', ',', '\n']).filter_map(|it| it.strip_suffix("/fips")).collect();
    assert_eq!((code, named), (Some(0), FIPS.into_iter().collect()), "{words}");
    let (code, words) = asked("0");
    assert!(code == Some(0) && !words.contains("fips"), "{words}");
    assert_eq!(asked("yes").0, Some(2));
}

#[test]
fn the_lists_of_crates_are_in_the_programs_if_the_packager_asks() {
    let asked = |wish: &str| built_with("AUDITABLE", wish);
    for (wish, words) in [
        ("", "build --offline --release --locked -p "),
        ("0", "build --offline --release --locked -p "),
        ("1", "auditable build --offline --release --locked -p "),
    ] {
        let (code, said) = asked(wish);
        assert!(code == Some(0) && said.starts_with(words), "{wish:?}: {code:?} {said}");
    }
    assert_eq!(asked("yes").0, Some(2));
}

#[test]
fn the_users_of_the_recipes_are_those_of_the_processes() {
    assert_eq!(recipe("packaging/sysusers.d/truechimer.conf"), bench::users::sysusers());
    let short: Vec<String> = ipc::process::Process::ALL
        .map(|process| process.user().trim_start_matches("truechimer-").to_owned())
        .to_vec();
    let in_a_row = format!("in {}; do", short.join(" "));
    for path in [
        "packaging/rpm/truechimer.spec",
        "packaging/alpine/truechimer.pre-install",
        "packaging/alpine/truechimer.pre-upgrade",
    ] {
        assert!(recipe(path).contains(&in_a_row), "{path}: not {in_a_row}");
    }
    let module = recipe("packaging/nix/module.nix");
    let passwd = recipe("packaging/container/passwd");
    let group = recipe("packaging/container/group");
    for name in &short {
        assert!(module.contains(&format!("    \"{name}\"\n")), "module.nix: {name}");
        assert!(passwd.contains(&format!("\ntruechimer-{name}:x:")), "container/passwd: {name}");
        assert!(group.contains(&format!("\ntruechimer-{name}:x:")), "container/group: {name}");
    }
    // The one number that a manifest names.
    let key = passwd.lines().find_map(|line| line.strip_prefix("truechimer-key:x:")?.split(':').next());
    let fleet = recipe("packaging/kubernetes/nts-fleet.yaml");
    assert!(fleet.contains(&format!("chown {0}:{0} /key/key.pem", key.expect("it is there"))), "{key:?}");
}

#[test]
fn the_rpm_lists_each_file_that_is_installed() {
    let spec = recipe("packaging/rpm/truechimer.spec");
    let files = spec.split_once("\n%files\n").expect("it has files").1;
    let place = Place::new("spec");
    for name in below(&installed(&place, &["systemd"])) {
        let of_docs = name.starts_with("usr/share/doc/truechimer/");
        let mut listed = name.clone();
        for (prefix, word) in [
            ("usr/lib/systemd/system/", "%{_unitdir}/"),
            ("usr/share/man/", "%{_mandir}/"),
            ("usr/share/", "%{_datadir}/"),
            ("usr/bin/", "%{_bindir}/"),
            ("usr/sbin/", "%{_sbindir}/"),
            ("etc/", "%{_sysconfdir}/"),
            ("usr/", "%{_prefix}/"),
        ] {
            if let Some(rest) = listed.strip_prefix(prefix) {
                listed = format!("{word}{rest}");
            }
        }
        // Manual pages are compressed by rpm.
        let lines = [listed.clone(), format!("{listed}*")];
        let is_listed = files.lines().any(|line| lines.iter().any(|name| line.ends_with(name.as_str())));
        assert!(of_docs || is_listed, "packaging/rpm/truechimer.spec, %files: {listed}");
    }
}

#[test]
fn the_profiles_name_each_program_that_the_launch_starts() {
    let apparmor = recipe("packaging/apparmor/usr.lib.truechimer.truechimerd");
    let selinux = recipe("packaging/selinux/truechimer.fc");
    let inside = |text: &str, from: &str, to: &str, by: char| -> BTreeSet<String> {
        let list = text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect("a list").0;
        list.split(by).map(|name| format!("truechimer-{name}")).collect()
    };
    let processes = ipc::process::Process::ALL.map(ipc::process::Process::program).into_iter();
    let started: BTreeSet<String> = processes
        .chain(ipc::process::KEEPERS)
        .filter(|name| *name != "truechimerd")
        .map(str::to_owned)
        .collect();
    assert_eq!(inside(&apparmor, "/truechimer-{", "}", ','), started);
    assert_eq!(inside(&selinux, "/truechimer-(", ")", '|'), started);
}

#[test]
fn the_recipes_name_and_bring_the_licences_of_what_is_linked() {
    let taken = licences::taken().expect("each crate may be linked");
    let names: BTreeSet<String> = taken.values().flat_map(|(_, ways)| ways.names().cloned()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let all = format!("({}) AND {}", env!("CARGO_PKG_LICENSE"), names.join(" AND "));
    for (path, line) in [
        ("packaging/rpm/truechimer.spec", format!("\nLicense:        {all}\n")),
        ("packaging/alpine/APKBUILD", format!("\nlicense=\"{all}\"\n")),
        ("packaging/arch/PKGBUILD", format!("\nlicense=('{all}')\n")),
        // Where install.sh puts them is not where they are looked for, or is left out.
        (
            "packaging/rpm/truechimer.spec",
            "\n%license LICENSE-APACHE LICENSE-MIT packaging/THIRD-PARTY\n".into(),
        ),
        (
            "packaging/arch/PKGBUILD",
            "/licenses/$pkgname\" LICENSE-APACHE LICENSE-MIT packaging/THIRD-PARTY\n".into(),
        ),
        (
            "packaging/container/Containerfile",
            "/licenses/truechimer LICENSE-APACHE LICENSE-MIT packaging/THIRD-PARTY ".into(),
        ),
    ] {
        assert!(recipe(path).contains(&line), "{path}: not {line:?}");
    }
    let place = Place::new("licences");
    let file = installed(&place, &["s6"]).join("usr/share/doc/truechimer/THIRD-PARTY");
    assert_eq!(fs::read_to_string(file).ok(), Some(recipe("packaging/THIRD-PARTY")));
}

#[test]
fn the_recipes_build_from_the_one_tarball_without_a_network() {
    let tarball = format!("{}.tar.xz", crate::source::name());
    for (path, line) in [
        ("packaging/rpm/truechimer.spec", "\nSource0:        %{name}-%{version}.tar.xz\n"),
        ("packaging/alpine/APKBUILD", "\nsource=\"$pkgname-$pkgver.tar.xz\"\n"),
        ("packaging/alpine/APKBUILD", &format!("  {tarball}\n")),
        ("packaging/arch/PKGBUILD", "\nsource=(\"$pkgname-$pkgver.tar.xz\")\n"),
        ("packaging/nix/package.nix", "builtins.pathExists ../../vendor;\n"),
        ("docs/packaging.md", &format!("`target/package/{tarball}`")),
    ] {
        assert!(recipe(path).contains(line), "{path}: not {line:?}");
    }
    for path in [
        "packaging/rpm/truechimer.spec",
        "packaging/alpine/APKBUILD",
        "packaging/arch/PKGBUILD",
        "packaging/nix/package.nix",
    ] {
        let text = recipe(path);
        let (asked, built) = (text.find("CARGO_NET_OFFLINE=true"), text.find("sh packaging/build.sh"));
        assert!(asked.is_some() && asked < built, "{path}: cargo may ask the network");
        assert!(!text.contains("cargo fetch") && !text.contains("Source1"), "{path}: crates from elsewhere");
    }
}

#[test]
fn the_recipes_have_the_version_and_the_compiler_of_the_tree() {
    let version = env!("CARGO_PKG_VERSION");
    for (path, line) in [
        ("packaging/rpm/truechimer.spec", format!("\nVersion:        {version}\n")),
        ("packaging/alpine/APKBUILD", format!("\npkgver={version}\n")),
        ("packaging/arch/PKGBUILD", format!("\npkgver={version}\n")),
        ("packaging/nix/package.nix", format!("  version = \"{version}\";\n")),
        ("packaging/kubernetes/node-clocks.yaml", format!("/truechimer-client:{version}\n")),
        ("packaging/kubernetes/nts-fleet.yaml", format!("/truechimer-server:{version}\n")),
    ] {
        assert!(recipe(path).contains(&line), "{path}: not {line:?}");
    }
    let rust = env!("CARGO_PKG_RUST_VERSION");
    for (path, line) in [
        ("packaging/rpm/truechimer.spec", format!("cargo >= {rust}\n")),
        ("packaging/alpine/APKBUILD", format!("cargo>={rust} ")),
        ("packaging/container/Containerfile", format!("rust:{rust}-")),
    ] {
        assert!(recipe(path).contains(&line), "{path}: not {line:?}");
    }
}

#[test]
fn the_scripts_of_the_recipes_are_shell() {
    for path in [
        "install.sh",
        "build.sh",
        "openrc/truechimer.initd",
        "openrc/truechimer.confd",
        "runit/truechimer/run",
        "runit/truechimer/finish",
        "runit/truechimer/log/run",
        "s6/truechimer/run",
        "s6/truechimer/finish",
        "alpine/APKBUILD",
        "alpine/truechimer.pre-install",
        "alpine/truechimer.pre-upgrade",
        "arch/truechimer.install",
    ] {
        run(Command::new("/bin/sh").arg("-n").arg(workspace().join("packaging").join(path)));
    }
    // It is for bash, as all of its kind.
    if Command::new("bash").arg("--version").output().is_ok() {
        run(Command::new("bash").arg("-n").arg(workspace().join("packaging/arch/PKGBUILD")));
    }
    let same = recipe("packaging/alpine/truechimer.pre-install");
    assert_eq!(
        same,
        recipe("packaging/alpine/truechimer.pre-upgrade"),
        "a user that an upgrade brings is made too"
    );
}
