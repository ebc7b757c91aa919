//! Tests of a name with more than one address, and of a registry that can be reached without its proxy.

use super::*;

#[test]
fn every_address_of_the_name_must_lead_to_the_registry() {
    let tcp = |why: &str, ip: &str| {
        let mut seen = seen();
        let ip: std::net::IpAddr = ip.parse().unwrap();
        seen.addresses = Some(Ok(vec!["10.0.0.7".parse().unwrap(), ip]));
        seen.astray = vec![((ip, 443).into(), why.to_owned())];
        let links = links(&seen, true, None);
        // `check` still judges the server at the first address.
        assert_eq!(links.iter().find(|link| link.id == "tls").unwrap().state, State::Held);
        links.into_iter().find(|link| link.id == "tcp").unwrap()
    };
    let link = tcp("connection refused", "fd00::1");
    assert_eq!(link.state, State::Broken);
    assert_eq!(
        link.message,
        "10.0.0.7:443 takes connections, but other addresses of the name do not lead to it: [fd00::1]:443: connection refused"
    );
    assert!(tcp("another certificate", "10.0.0.8").cure.starts_with("take 10.0.0.8 out of "));
}

#[test]
fn a_registry_beside_the_proxy_is_a_way_round_it() {
    let beside = |bare| broken(|seen| seen.bare[0].1 = bare).0;
    assert_eq!(beside(Bare::Registry), "bypass");
    assert_eq!(beside(Bare::Other), "");
    assert_eq!(broken(|seen| seen.old = Some(vec!["TLS 1.0", "TLS 1.1"])).0, "protocols");
}
