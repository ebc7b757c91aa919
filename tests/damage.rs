//! Every file of a registry's directory × every damage: `regcert status` names that very file and a command, and that
//! command mends it, or says what is lost with the file and goes on without it. The files are those that are there, so that
//! a new one is tried without a word here.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{Sandbox, is_thorough};

/// What every command here may need.
const PREPARE: &str = "echo 'a passphrase' >passphrase.txt; echo me:secret >hub.txt; chmod 600 *.txt; \
    for a in theirs others; do regcert -C $a init 2>/dev/null; done";

/// A kind of registry: how one is made in `$dir`, with the authority in `$ca` where an external one signs.
const SHAPES: [(&str, &str); 10] = [
    ("default", "regcert -C $dir init $more"),
    (
        "roles",
        "regcert -C $dir init $more && regcert -C $dir add-user $user --role pull --repo 'team/*' </dev/null",
    ),
    ("rotation", "regcert -C $dir init $more && regcert -C $dir rotate --ca"),
    // As README says, the root's key is moved away.
    ("offline root", "regcert -C $dir init --offline-root $more && rm $dir/root-cert/root-cert-*.key"),
    ("encrypted key", "regcert -C $dir init --encrypt-ca-key $more"),
    (
        "clients",
        "regcert -C $dir init --client-auth required $more && regcert -C $dir add-client laptop && rm -r $dir/clients/laptop",
    ),
    (
        "external",
        "regcert -C $dir init --external-ca $more && regcert -C $ca sign $dir/request/*.csr >$dir.pem && \
         regcert -C $dir import-cert $dir.pem --ca-cert $ca/root-cert/root-cert-local.priv.crt",
    ),
    ("waiting", "regcert -C $dir init --external-ca $more"),
    ("without nginx", "regcert -C $dir init --proxy none $more"),
    (
        "mirror",
        "regcert -C $dir init --mirror-of https://mirror.example.org --mirror-credentials hub.txt \
         --upstream-ca $ca/root-cert/root-cert-local.priv.crt $more && regcert -C $dir trust >/dev/null",
    ),
];

/// What no file can show, or needs no cure: shape, file, damage.
const NOT_NAMED: [(&str, &str, Damage); 5] = [
    // Nothing needs the key of the old root once it has certified the new one.
    ("rotation", "root-cert/retiring-local.priv.key", Damage::Removed),
    // Before the first certificate no other file has anything of it.
    ("waiting", ".regcert/state.json", Damage::Swapped),
    // It was taken away to be signed; that it waits is told anyway.
    ("waiting", "request/registry.local.priv.csr", Damage::Removed),
    // The request is told, which is made again for this key.
    ("waiting", "request/registry.local.priv.key", Damage::Swapped),
    // Without roles any list of users is as good as another.
    ("without nginx", "registry/auth/registry.passwd", Damage::Swapped),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Removed,
    Emptied,
    Garbage,
    Swapped,
}

const DAMAGES: [Damage; 4] = [Damage::Removed, Damage::Emptied, Damage::Garbage, Damage::Swapped];

impl Damage {
    /// Does it; false where it would change nothing.
    fn of(self, work: &Path, path: &str) -> bool {
        let file = work.join("registry").join(path);
        let before = fs::read(&file).unwrap();
        let after = match self {
            Self::Removed => {
                fs::remove_file(&file).unwrap();
                return true;
            }
            Self::Emptied => Some(Vec::new()),
            Self::Garbage => Some(b"\x00\xffgarbage {\n".to_vec()),
            Self::Swapped => fs::read(work.join("other").join(path)).ok(),
        };
        let Some(after) = after.filter(|after| *after != before) else {
            return false;
        };
        fs::write(&file, after).unwrap();
        true
    }
}

/// One registry of a shape, another one of the same shape, and a copy of the first.
struct Case {
    shape: &'static str,
    sandbox: Sandbox,
    /// What `status` says where nothing is damaged.
    usual: BTreeSet<String>,
}

impl Case {
    fn new(shape: &'static str, make: &str) -> Self {
        let case = Self { shape, sandbox: Sandbox::new(), usual: BTreeSet::new() };
        let env = "export REGCERT_CA_PASSPHRASE_FILE=passphrase.txt";
        case.sandbox.ok(&format!("{env}; {PREPARE}"));
        for (dir, ca, user, more) in [
            ("registry", "theirs", "bob", ""),
            ("other", "others", "carol", "--docker-username otto --cert-company Other --https-port 7443"),
        ] {
            case.sandbox
                .ok(&format!("{env}; dir={dir} ca={ca} user={user} more='{more}'; {{ {make}; }} >out 2>&1"));
        }
        case.sandbox.ok("cp -a registry base");
        Self { usual: case.findings(), ..case }
    }

    fn again(&self) {
        self.sandbox.ok("rm -rf registry && cp -a base registry");
    }

    fn run(&self, command: &str) -> (String, i32) {
        let line = format!("export REGCERT_CA_PASSPHRASE_FILE=passphrase.txt; {command} </dev/null 2>&1");
        let output = self.sandbox.sh(&line);
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }

    /// What `status` has to say, each finding with its hint.
    fn findings(&self) -> BTreeSet<String> {
        let mut findings: Vec<String> = Vec::new();
        let (told, code) = self.run("regcert status");
        for line in told.lines() {
            if ["broken: ", "due: ", "note: ", "error: "].iter().any(|kind| line.starts_with(kind)) {
                findings.push(line.to_owned());
            } else if line.starts_with("hint: ") {
                let last = findings.last_mut().unwrap();
                *last += &format!("\n{line}");
            }
        }
        // A crash has no finding.
        assert!(!findings.is_empty() || code == 0, "{told}");
        findings.into_iter().collect()
    }

    /// Those that are not there otherwise.
    fn unusual(&self) -> Vec<String> {
        let is_usual = |finding: &String| self.usual.contains(finding);
        self.findings().into_iter().filter(|finding| !is_usual(finding)).collect()
    }

    /// The commands that mend what a finding is about: those of its first clause that has any.
    fn commands(&self, finding: &str) -> Vec<String> {
        let clauses = finding.split([';', '\n']);
        let commands = |clause: &str| {
            let parts = clause.split('`').skip(1).step_by(2);
            parts.filter(|part| part.starts_with("regcert ")).map(str::to_owned).collect::<Vec<_>>()
        };
        clauses.map(commands).find(|commands| !commands.is_empty()).unwrap_or_default()
    }

    /// Runs a command as it is printed, but for what a person fills in. Nothing runs here that could be reloaded.
    fn obey(&self, command: &str) -> String {
        if command.ends_with("import-cert FILE") {
            let (told, code) = self.run("regcert -C theirs sign registry/request/*.csr >signed.pem");
            if code != 0 {
                return format!("nothing was signed: {told}\n");
            }
        }
        let given = "import-cert signed.pem --ca-cert theirs/root-cert/root-cert-local.priv.crt";
        let command = command.replace("import-cert FILE", given);
        let command = command.replace(" --reload", "").replace("add-user NAME", "add-user docker");
        let (told, code) = self.run(&command);
        format!("$ {command}\n{told}? {code}\n")
    }

    /// Follows what `status` and the commands say until nothing is left, and says why where that does not happen.
    fn mend(&self, path: &str, mut said: Vec<String>) -> Result<(), String> {
        let mut trail = String::new();
        if !said.iter().any(|finding| finding.lines().next().unwrap().contains(path)) {
            // The passphrase alone shows whether an encrypted key is the right one.
            trail = self.obey("regcert rotate");
            let names = |line: &str| line.starts_with("error: ") && line.contains(path);
            if said.is_empty() && trail.lines().any(names) && trail.contains("regcert init --accept-loss") {
                return Ok(());
            }
            return Err(format!("`status` does not name it: {said:?}\n{trail}"));
        }
        for _ in 0..4 {
            if said.is_empty() {
                return Ok(());
            }
            // What names the file comes first.
            let first = said.iter().find(|finding| finding.contains(path)).unwrap_or(&said[0]);
            let commands = self.commands(first);
            trail += &format!("{first}\n");
            if commands.is_empty() {
                return Err(format!("no command mends it\n{trail}"));
            }
            for command in commands {
                trail += &self.obey(&command);
            }
            said = self.unusual();
        }
        Err(format!("it is not mended: {said:?}\n{trail}"))
    }

    /// Every file of the registry that something is in, and whether regcert makes it from the others.
    fn files(&self) -> BTreeMap<String, bool> {
        let dir = self.sandbox.path().join("base");
        let digests = fs::read(dir.join(".regcert/digests.json")).unwrap();
        let digests: BTreeMap<String, String> = serde_json::from_slice(&digests).unwrap();
        let mut all = BTreeMap::new();
        walk(&dir, "", &mut |path| {
            // The user's own lines for nginx: no command of regcert's makes or mends them.
            let is_own = path.starts_with("nginx/local");
            if !is_own && !fs::read(dir.join(&path)).unwrap().is_empty() {
                let is_rendered = digests.get(&path).is_some_and(|digest| digest != "kept");
                all.insert(path, is_rendered);
            }
        });
        all
    }

    /// What the file with this number suffers: everything, or, without --all, every other damage, in turn over files and shapes.
    fn tried(&self, file: usize) -> impl Iterator<Item = Damage> + use<> {
        let shape = SHAPES.iter().position(|(shape, _)| *shape == self.shape).unwrap();
        let damages = DAMAGES.into_iter().enumerate();
        damages
            .filter(move |(d, _)| is_thorough() || (d + file + shape).is_multiple_of(4))
            .map(|(_, damage)| damage)
    }

    /// One after the other: what is the only copy of something. What was told of the same file in another shape, and mended
    /// there, is not mended again.
    fn each_kept(&self, mended: &mut BTreeSet<Vec<String>>, wrong: &mut Vec<String>) {
        let kept = self.files().into_iter().filter(|(_, is_rendered)| !is_rendered).map(|(path, _)| path);
        for (n, path) in kept.enumerate() {
            for damage in self.tried(n) {
                self.again();
                let is_not_named = NOT_NAMED.contains(&(self.shape, path.as_str(), damage));
                if is_not_named || !damage.of(&self.sandbox.path(), &path) {
                    continue;
                }
                let said = self.unusual();
                let is_told = said.iter().any(|finding| finding.contains(&path));
                if is_told && !mended.insert([said.clone(), vec![path.clone()]].concat()) {
                    continue;
                }
                if let Err(why) = self.mend(&path, said) {
                    wrong.push(format!("{}: {path}: {damage:?}: {why}", self.shape));
                }
            }
        }
    }

    /// What regcert makes from the rest: each damage is told, and those of one directory are mended together, which is
    /// faster.
    fn all_rendered(&self, mended: &mut BTreeSet<Vec<String>>, wrong: &mut Vec<String>) {
        let files = self.files().into_iter().filter(|(_, is_rendered)| *is_rendered).map(|(path, _)| path);
        let mut directories: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in files {
            let directory = path.split_once('/').map_or("", |(directory, _)| directory).to_owned();
            directories.entry(directory).or_default().push(path);
        }
        for (damage, files) in
            self.tried(0).flat_map(|damage| directories.values().map(move |files| (damage, files)))
        {
            self.again();
            let work = self.sandbox.path();
            let damaged: Vec<_> = files.iter().filter(|path| damage.of(&work, path)).collect();
            let said = if damaged.is_empty() { Vec::new() } else { self.unusual() };
            let mut commands = BTreeSet::new();
            for path in damaged {
                let of = |finding: &&String| finding.lines().next().unwrap().contains(path.as_str());
                let told = said.iter().find(of).map(|finding| self.commands(finding)).unwrap_or_default();
                if told.is_empty() {
                    wrong.push(format!("{}: {path}: {damage:?}: no command is told: {said:?}", self.shape));
                }
                commands.extend(told);
            }
            if !mended.insert(said) {
                continue;
            }
            let trail: String = commands.iter().map(|command| self.obey(command)).collect();
            let left = if commands.is_empty() { Vec::new() } else { self.unusual() };
            if !left.is_empty() {
                wrong.push(format!("{}: {damage:?}: not mended: {left:?}\n{trail}", self.shape));
            }
        }
    }
}

fn walk(dir: &Path, below: &str, each: &mut impl FnMut(String)) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = format!("{below}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{path}/"), each);
        } else {
            each(path);
        }
    }
}

/// Every shape, two at a time: half of the work is waiting for the disk.
fn in_every_shape(test: impl Fn(&Case, &mut BTreeSet<Vec<String>>, &mut Vec<String>) + Sync) {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let part = |shapes: &[(&'static str, &'static str)]| {
            let (mut mended, mut wrong) = (BTreeSet::new(), Vec::new());
            for (shape, make) in shapes {
                test(&Case::new(shape, make), &mut mended, &mut wrong);
            }
            wrong
        };
        let halves = SHAPES.chunks(SHAPES.len().div_ceil(2));
        let threads: Vec<_> = halves.map(|shapes| scope.spawn(move || part(shapes))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn what_is_the_only_copy_of_something_is_named_and_mended_or_given_up() {
    in_every_shape(Case::each_kept);
}

#[test]
fn what_regcert_makes_from_the_rest_is_named_and_made_again() {
    in_every_shape(Case::all_rendered);
}
