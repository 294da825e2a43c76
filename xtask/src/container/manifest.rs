//! A manifest of packaging/kubernetes, and what podman reads in it otherwise than a cluster.

use super::read;

/// A manifest.
pub struct Manifest {
    name: &'static str,
    text: String,
}

impl Manifest {
    /// That of this name.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(name: &'static str) -> Result<Self, String> {
        Ok(Self { name, text: read(&format!("packaging/kubernetes/{name}.yaml"))? })
    }

    /// The image whose last part begins so.
    ///
    /// # Errors
    /// It names none.
    pub fn image(&self, name: &str) -> Result<String, String> {
        let images = self.text.lines().filter_map(|line| line.trim().strip_prefix("image: "));
        let is_it =
            |image: &&str| image.rsplit('/').next().is_some_and(|last| last.starts_with(&format!("{name}:")));
        let mut found = images.filter(is_it);
        found.next().map(str::to_owned).ok_or_else(|| format!("{}: no image {name}", self.name))
    }

    /// The words of its readiness probe.
    ///
    /// # Errors
    /// It has none that executes something.
    pub fn probe(&self) -> Result<String, String> {
        let lines = self.text.lines().skip_while(|line| line.trim() != "readinessProbe:");
        let words = lines.filter_map(|line| line.trim().strip_prefix("command: ")).next();
        let words: Option<Vec<String>> = words.and_then(|words| serde_json::from_str(words).ok());
        words.map(|words| words.join(" ")).ok_or_else(|| format!("{}: no readiness probe", self.name))
    }

    /// With a secret that is random enough for a test, and the certificate as a Secret.
    ///
    /// # Errors
    /// The manifest has another form than this knows.
    pub fn for_podman_with_certificate(&self, chain: &str, key: &str) -> Result<String, String> {
        let with_secret = self.replaced(
            &self.for_podman()?,
            "WHAT-OPENSSL-PRINTED",
            &"c2VjcmV0IG9mIGEgdGVzdCwg".repeat(3),
        )?;
        let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        Ok(format!(
            "{with_secret}---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: nts-fleet-certificate\n  namespace: truechimer\n\
             stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            block(chain),
            block(key)
        ))
    }

    /// With a clock that is a file.
    ///
    /// # Errors
    /// As there.
    pub fn for_podman_with_virtual_clock(&self) -> Result<String, String> {
        let image = format!("          image: {}\n", self.image("truechimer-client")?);
        let with_words =
            format!("{image}          args: [\"--clock\", \"virtual:/var/lib/truechimer/clock\"]\n");
        self.replaced(&self.for_podman()?, &image, &with_words)
    }

    /// An emptyDir in memory is another one in each container of podman, and those of one name are one in all pods.
    fn for_podman(&self) -> Result<String, String> {
        let lines = self.text.lines().filter(|line| line.trim() != "medium: Memory");
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let text = self.replaced(&text, "- name: run\n", &format!("- name: {}-run\n", self.name))?;
        self.replaced(&text, "- name: empty\n", &format!("- name: {}-empty\n", self.name))
    }

    fn replaced(&self, text: &str, from: &str, to: &str) -> Result<String, String> {
        if text.contains(from) {
            Ok(text.replace(from, to))
        } else {
            Err(format!("packaging/kubernetes/{}.yaml has no {from:?}", self.name))
        }
    }
}
