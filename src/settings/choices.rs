//! Types for single settings: choices between fixed values, the storage of the images, and the user of the
//! containers.

use std::fmt;
use std::str::FromStr;

use crate::error::Fault;
use crate::names::{VolumeName, printable};

/// Declares enums with fixed values, each with its word in regcert.toml and in options.
macro_rules! choices {
    ($($(#[$doc:meta])* $choice:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $choice {
                $($(#[$variant_doc])* $variant,)*
            }

            impl $choice {
                pub(super) const ALL: &[Self] = &[$(Self::$variant),*];
            }

            impl FromStr for $choice {
                type Err = Fault;

                fn from_str(text: &str) -> Result<Self, Fault> {
                    match text {
                        $($word => Ok(Self::$variant),)*
                        _ => Err(unknown(text, &[$($word),*])),
                    }
                }
            }

            impl fmt::Display for $choice {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(match self {
                        $(Self::$variant => $word,)*
                    })
                }
            }
        )*
    };
}

choices! {
    /// The server in front of the registry.
    Proxy {
        /// nginx terminates TLS and checks passwords.
        Nginx = "nginx",
        /// No proxy: the registry itself terminates TLS and checks passwords.
        None = "none",
    }

    /// Whether clients must present a certificate in addition to the password.
    ClientAuth {
        /// nginx does not ask clients for a certificate.
        Off = "off",
        /// A client may present a certificate. nginx refuses an invalid one.
        Optional = "optional",
        /// nginx refuses a client without a certificate.
        Required = "required",
    }

    /// The server that sends the layers of images to clients.
    BlobsBy {
        /// nginx reads the layers directly from the registry's storage, where they are files.
        Nginx = "nginx",
        /// The registry sends the layers through nginx.
        Registry = "registry",
    }

    /// Whether admins may delete images.
    Delete {
        On = "on",
        Off = "off",
    }

    /// The certificate authority that signs the server certificate.
    Signer {
        /// regcert has the authority's key and signs the certificate itself.
        Own = "own",
        /// Another authority signs: `regcert csr` writes the request, and `regcert import-cert` reads the
        /// certificate.
        External = "external",
    }
}

/// The fault for a text that is not one of `words`.
fn unknown(text: &str, words: &[&str]) -> Fault {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    let (last, others) = words.split_last().expect("a choice has a word");
    Fault::new(format!("`{}` is not a valid value", printable(text)))
        .hint(format!("choose {} or {last}", others.join(", ")))
}

/// Names in the registry's directory that regcert uses for files other than images.
const RESERVED: [&str; 9] =
    ["nginx", "registry", "root-cert", "clients", "request", "renewal", "trust", "files", ".regcert"];

/// The place where the registry stores its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A directory: an absolute path, or a path below the registry's directory, such as `./data`.
    Directory(String),
    /// A volume that Compose creates for this registry and that Docker manages.
    Volume,
    /// An existing volume with this name. Compose neither creates nor removes the volume, and its files keep their
    /// owner.
    Existing(VolumeName),
}

/// The user and group that the containers run as. They own the files that the containers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
}

impl RunAs {
    /// Root inside a container.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// The user who runs regcert; if that is root, an id that distributions assign to no user.
    pub fn invoker(uid: u32, gid: u32) -> Self {
        if uid == 0 { Self { uid: 65532, gid: 65532 } } else { Self { uid, gid } }
    }
}

impl FromStr for Data {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault =
            |why: &str| Err(Fault::new(format!("`{}` cannot hold the images: {why}", printable(text))));
        match text {
            "volume" => Ok(Self::Volume),
            _ if text.starts_with("volume:") => text["volume:".len()..].parse().map(Self::Existing),
            "" => fault("it is empty"),
            // Compose splits a mount at its colons, and no version of Compose can escape a colon.
            _ if text.contains(':') => fault("a path with a colon cannot be mounted"),
            _ if text.chars().any(|c| c.is_control()) => {
                fault("a path with a control character cannot be mounted")
            }
            _ if text.starts_with('/') => {
                let path = std::path::absolute(text).map_err(|e| Fault::new(e.to_string()))?;
                match path.into_os_string().into_string() {
                    Ok(path) if path != "/" => Ok(Self::Directory(path)),
                    Ok(_) | Err(_) => fault("it is the root of the file system"),
                }
            }
            _ if text.starts_with("./") => {
                let mut parts = std::path::Path::new(text).components().skip(1).map(|part| part.as_os_str());
                match parts.next().and_then(|first| first.to_str()) {
                    None | Some("..") => fault("it is not below the registry's directory"),
                    Some(first) if RESERVED.contains(&first) => fault("regcert keeps other things there"),
                    Some(_) if parts.any(|part| part == "..") => fault("it holds `..`"),
                    Some(_) => Ok(Self::Directory(text.to_owned())),
                }
            }
            _ => fault("it is relative").map_err(|f: Fault| {
                f.hint("begin it with `/`, or with `./` for a place beside docker-compose.yml")
            }),
        }
    }
}

impl Data {
    /// Fails if the container would get the registry's own files, including its keys, together with the images.
    pub fn apart_from(&self, directory: &str) -> Result<(), Fault> {
        let Self::Directory(path) = self else {
            return Ok(());
        };
        let (path, directory) = (std::path::Path::new(path), std::path::Path::new(directory));
        let inside = path.strip_prefix(directory).ok().and_then(|rest| rest.components().next());
        let reserved = inside.is_some_and(|first| RESERVED.iter().any(|name| first.as_os_str() == *name));
        if directory.starts_with(path) || reserved {
            let what = format!("`{}` cannot hold the images: the registry's keys are there", path.display());
            return Err(Fault::new(what).hint("choose a directory of its own"));
        }
        Ok(())
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory(path) => path,
            Self::Volume => "volume",
            Self::Existing(name) => return write!(f, "volume:{name}"),
        })
    }
}

impl FromStr for RunAs {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        let (uid, gid) = ids.ok_or_else(|| {
            Fault::new(format!("`{}` is no user and group", printable(text)))
                .hint("write numbers, `1000:1000`; `id` shows yours")
        })?;
        Ok(Self { uid, gid })
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}
