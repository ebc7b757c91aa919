//! Reads the HTTPS servers of an existing nginx.conf: names, certificates, password files and ports.

use crate::front::directives;

/// The values of directives in the `server` blocks that use TLS.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// The names in `server_name`.
    pub names: Vec<String>,
    /// The paths in `ssl_certificate`.
    pub certificates: Vec<String>,
    /// The paths in `auth_basic_user_file`.
    pub users: Vec<String>,
    /// The ports in `listen` with `ssl`.
    pub ports: Vec<u16>,
}

impl Front {
    /// Adds the values from the text of a configuration file.
    pub fn add(&mut self, text: &str) {
        for server in servers(&directives(text)) {
            let values = |name: &str| {
                server.iter().filter(|words| words[0] == name).map(|words| &words[1..]).collect::<Vec<_>>()
            };
            let listens = values("listen");
            let tls = |words: &&&[String]| words.iter().any(|word| word == "ssl");
            if values("ssl_certificate").is_empty() && !listens.iter().any(|words| tls(&words)) {
                continue;
            }
            let add = |all: &mut Vec<String>, new: String| {
                if !all.contains(&new) {
                    all.push(new);
                }
            };
            for name in values("server_name").into_iter().flatten() {
                add(&mut self.names, name.clone());
            }
            for path in values("ssl_certificate").into_iter().flatten() {
                add(&mut self.certificates, path.clone());
            }
            for path in values("auth_basic_user_file").into_iter().flatten() {
                add(&mut self.users, path.clone());
            }
            let ports = listens.iter().filter(|words| tls(words)).filter_map(|words| words.first());
            self.ports.extend(ports.filter_map(|listen| listen.rsplit(':').next()?.parse::<u16>().ok()));
        }
    }
}

/// The directives of one block.
type Block<'a> = Vec<&'a Vec<String>>;

/// The directives of each `server` block, including those in nested blocks.
fn servers(directives: &[Vec<String>]) -> Vec<Block<'_>> {
    let mut servers = Vec::new();
    let mut depth = 0_usize;
    let mut inside: Option<(usize, Block<'_>)> = None;
    for directive in directives {
        match directive.last().map(String::as_str) {
            Some("{") => {
                if directive[0] == "server" && inside.is_none() {
                    inside = Some((depth, Vec::new()));
                }
                depth += 1;
            }
            Some("}") => {
                depth = depth.saturating_sub(1);
                if let Some((_, server)) = inside.take_if(|(began, _)| *began == depth) {
                    servers.push(server);
                }
            }
            Some(_) | None => {
                if let Some((_, server)) = &mut inside {
                    server.push(directive);
                }
            }
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_speaks_tls_is_found_among_others() {
        let mut front = Front::default();
        front.add(
            "upstream x { server registry:5000; }\n# server { listen 1 ssl; }\nserver { listen 80; server_name plain.lan; }\n\
             server {\n listen [::]:443 ssl; server_name a.lan 'b.lan';\n ssl_certificate \"/etc/nginx/ssl/a b.crt\";\n\
             location /v2/ { if ($x ~ \"^(docker|Go ).*$\" ) { return 404; } auth_basic_user_file /etc/nginx/auth/u; }\n}\n",
        );
        assert_eq!(front.names, ["a.lan", "b.lan"]);
        assert_eq!(front.certificates, ["/etc/nginx/ssl/a b.crt"]);
        assert_eq!(front.users, ["/etc/nginx/auth/u"]);
        assert_eq!(front.ports, [443]);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in ["", "}", "server {", "server { listen", "\"", "; ; {}", "server;"] {
            Front::default().add(text);
        }
    }
}
