//! `cargo xtask container`: the images of packaging/container built from their Containerfile, and the manifests of
//! packaging/kubernetes run, without a registry and without a cluster.
//!
//! buildah and podman of Debian 13 do it, in a root of their own. Base images have the names that the Containerfile gives and are
//! made of Debian's packages; compiler and crates are this machine's. podman reads the manifests (`manifest` has what it reads
//! otherwise than a cluster). CAP_SYS_TIME is given up before: the client has a virtual clock.

mod manifest;

use crate::cargo::{run as run_command, workspace};
use crate::package;
use bench::authority::Authority;
use manifest::Manifest;
use rig::architecture::Architecture;
use rig::debian::{Release, archive};
use rig::recipe::{containerfile, tools};
use rig::runner;
use rig::store::Store;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds images and runs containers.
const TOOLS: &str = "podman,buildah,runc,conmon,catatonit,netavark,aardvark-dns,golang-github-containers-common,busybox-static,\
                     iproute2,util-linux,ca-certificates";
/// What the image of the compiler has beside it.
const BUILD: &str = "gcc,g++,make,libc6-dev,ca-certificates";
/// Those of distroless' image with C libraries.
const ROOT: &str =
    "base-files,ca-certificates,netbase,tzdata,media-types,libc6,libssl3t64,libgcc-s1,libgomp1,libstdc++6";
/// All certificates in one file, as the package's own script makes it.
const BUNDLE: &str =
    "cat \"$1\"/usr/share/ca-certificates/mozilla/*.crt > \"$1\"/etc/ssl/certs/ca-certificates.crt";

const ENTER: &str = include_str!("container/enter.sh");
const IMAGES: &str = include_str!("container/images.sh");
const PLAY: &str = include_str!("container/play.sh");

/// Names of the example's sources, which lead to the server, and the addresses.
const NAMES: [(&str, &str); 3] = [
    ("time.example.org", "192.0.2.11"),
    ("time.example.net", "192.0.2.12"),
    ("time.example.com", "192.0.2.13"),
];

/// Builds both images and runs both manifests.
///
/// # Errors
/// What is missing on this machine, or what did not work.
pub fn run() -> Result<(), String> {
    runner::prepare()?;
    tools::install(Architecture::default())?;
    let store = Store::open()?;
    store.forget_dead();
    let made = |name: &str, variant: &str, packages: &str, hook: Option<&str>| {
        let recipe = format!("{variant}{packages}{hook:?}");
        store.have(name, recipe.as_bytes(), |place| debian(place, variant, packages, hook))
    };
    let folder = "mkdir -p \"$1\"/place \"$1\"/src \"$1\"/toolchain \"$1\"/registry \"$1\"/target \"$1\"/var/lib/containers \
                  \"$1\"/var/lib/truechimer; : > \"$1\"/etc/hosts";
    let root = made("container-tools", "minbase", TOOLS, Some(folder))?;
    let bases = [
        ("build", made("container-build", "minbase", BUILD, None)?),
        ("root", made("container-root", "extract", ROOT, Some(BUNDLE))?),
    ];
    let place = Place::new(&store, &root)?;
    for (name, base) in &bases {
        run_command(Command::new("cp").arg("--archive").arg(base).arg(place.shared.join(name)))?;
    }

    let fleet = Manifest::read("nts-fleet")?;
    let clocks = Manifest::read("node-clocks")?;
    let (server, client) = (fleet.image("truechimer-server")?, clocks.image("truechimer-client")?);
    let epoch = package::epoch()?.to_string();
    let names = [
        &base_of(containerfile::TEXT, "build")?,
        &base_of(containerfile::TEXT, "root")?,
        &fleet.image("busybox")?,
        &server,
        &client,
    ];
    place.enter(IMAGES, &[&names[..], &[&epoch]].concat())?;

    let authority = Authority::new("an authority of this test");
    let identity = authority.issue(&NAMES.map(|(name, _)| name));
    place.write("authority.pem", &authority.pem())?;
    place.write(
        "nts-fleet.yaml",
        &fleet.for_podman_with_certificate(&identity.chain_pem, &identity.key_pem)?,
    )?;
    place.write("node-clocks.yaml", &clocks.for_podman_with_virtual_clock()?)?;
    place.write("nts-fleet.probe", &fleet.probe()?)?;
    place.write("node-clocks.probe", &clocks.probe()?)?;
    place.write("run", &command_line(&server)?)?;
    place.write(
        "truechimer.toml",
        "[server]\nlisten = [\"0.0.0.0:123\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 3\n",
    )?;
    place.enter(PLAY, &[&client])?;

    judge(&place)
}

/// What the containers said.
fn judge(place: &Place) -> Result<(), String> {
    for file in ["server.status", "client.status", "run.status"] {
        let status = place.json(file)?;
        let shortfalls = status["shortfalls"].as_object().filter(|all| !all.is_empty());
        let short =
            shortfalls.ok_or_else(|| format!("{file}: no process says how it is confined: {status}"))?;
        if let Some((process, missing)) =
            short.iter().find(|(_, missing)| **missing != Value::Array(Vec::new()))
        {
            return Err(format!("{file}: {process} runs without {missing}"));
        }
        println!("{file}: {} processes, complete confinement", short.len());
    }
    let sources = place.json("client.sources")?;
    let all = sources["sources"].as_array().map_or(&[][..], Vec::as_slice);
    let heard = |source: &&Value| source["authenticated"] == true && source["reach"].as_u64() > Some(0);
    if all.len() != NAMES.len() || all.iter().filter(heard).count() != all.len() {
        return Err(format!("not all sources of the client are heard with NTS: {sources}"));
    }
    println!("client: synchronised by {} sources with NTS", all.len());
    let code = place.text("run.code")?;
    if code.trim() != "0" {
        return Err(format!("stopped, the container of `podman run` ends with {}", code.trim()));
    }
    println!("both images work, under both manifests and `podman run`");
    Ok(())
}

/// A small Debian.
fn debian(place: &Path, variant: &str, packages: &str, hook: Option<&str>) -> Result<(), String> {
    let mut command = Command::new("mmdebstrap");
    command.arg(format!("--variant={variant}")).args(["--mode=root", "--format=directory"]);
    command.arg(format!("--include={packages}"));
    command.args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""]);
    command.args(hook.map(|hook| format!("--customize-hook={hook}")));
    command.arg(Release::Trixie.suite()).arg(place).arg(archive()?);
    run_command(&mut command)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(workspace().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// The image on which a stage of the Containerfile stands.
fn base_of(recipe: &str, stage: &str) -> Result<String, String> {
    let is_it = |line: &&str| line.starts_with("FROM ") && line.ends_with(&format!(" AS {stage}"));
    let line = recipe.lines().find(is_it).ok_or_else(|| format!("Containerfile: no stage {stage}"))?;
    line.split_whitespace().nth(1).map(str::to_owned).ok_or_else(|| format!("Containerfile: {line}"))
}

/// The words of the `podman run` at the head of the Containerfile, without ports, which need the host's network, and with
/// the configuration of this test.
fn command_line(image: &str) -> Result<String, String> {
    let options = containerfile::options()?.join(" ");
    Ok(format!("{} {image}", options.replace("./truechimer.toml:", "/place/truechimer.toml:")))
}

/// The root with the tools, and what is written on the way.
struct Place {
    root: PathBuf,
    folder: PathBuf,
    shared: PathBuf,
    target: PathBuf,
}

impl Place {
    fn new(store: &Store, root: &Path) -> Result<Self, String> {
        let folder = store.path(format!("run-{}-container", std::process::id()));
        let place = Self {
            root: root.to_owned(),
            shared: folder.join("place"),
            target: store.path("container-target"),
            folder,
        };
        for folder in [&place.shared, &place.folder.join("images"), &place.target] {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let hosts: String = NAMES.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        place.write("hosts", &format!("127.0.0.1 localhost\n{hosts}"))?;
        Ok(place)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        fs::write(self.shared.join(name), text).map_err(|error| format!("{name}: {error}"))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        fs::read_to_string(self.shared.join(name)).map_err(|error| format!("{name}: {error}"))
    }

    fn json(&self, name: &str) -> Result<Value, String> {
        serde_json::from_str(&self.text(name)?).map_err(|error| format!("{name}: {error}"))
    }

    /// Runs a script in the root, with these words behind it.
    fn enter(&self, script: &str, words: &[&String]) -> Result<(), String> {
        let sysroot = crate::cargo::read(Command::new("rustc").args(["--print", "sysroot"]))?;
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        let registry = home.ok_or("neither CARGO_HOME nor HOME is set")?.join("registry");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--net", "--fork", "--kill-child", "--propagation", "private"]);
        command.args(["--", "sh", "-ec", ENTER]).arg(&self.root).arg(self.folder.join("images"));
        command.arg(&self.shared).arg(workspace()).arg(sysroot.trim()).arg(registry).arg(&self.target);
        command.args(["-c", script, "script"]).args(words);
        run_command(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ =
            Command::new("rm").args(["--recursive", "--one-file-system", "--"]).arg(&self.folder).status();
    }
}
