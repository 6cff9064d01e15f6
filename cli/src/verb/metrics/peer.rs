//! Who is at the other end of a connection on this machine: every user can connect to the loopback.

use std::net::{IpAddr, SocketAddr};

/// Whether the owner of the other end is root or one of those that are named; whoever it is, if nobody is named.
pub fn may_ask(here: SocketAddr, there: SocketAddr, allowed: &[String]) -> bool {
    if allowed.is_empty() {
        return true;
    }
    // Who listens for both sees an address of IPv4 as one of IPv6; who asks may have a socket of either kind for it.
    let found = |path, known_as: fn(IpAddr) -> IpAddr| {
        let table = std::fs::read_to_string(path).ok()?;
        let [there, here] =
            [there, here].map(|end| SocketAddr::new(known_as(end.ip()), end.port()));
        owner(&table, there, here)
    };
    let of_ipv4 = found("/proc/net/tcp", |ip| ip.to_canonical());
    let owner = of_ipv4.or_else(|| found("/proc/net/tcp6", as_ipv6));
    let Some(owner) = owner else {
        return false; // Not of this machine, or gone.
    };
    owner == 0 || allowed.iter().any(|user| uid(user) == Some(owner))
}

fn as_ipv6(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        ip => ip,
    }
}

/// A user by name or by number.
fn uid(user: &str) -> Option<u32> {
    let by_name = || Some(nix::unistd::User::from_name(user).ok()??.uid.as_raw());
    user.parse().ok().or_else(by_name)
}

/// The owner of the socket with these two ends, in a table of the kernel's (proc_net_tcp(5)).
fn owner(table: &str, own: SocketAddr, other: SocketAddr) -> Option<u32> {
    let (own, other) = (end(own), end(other));
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ends = (fields.get(1).copied(), fields.get(2).copied());
        let found = ends == (Some(own.as_str()), Some(other.as_str()));
        found.then(|| fields.get(7)?.parse().ok())?
    })
}

/// An end of a connection as the kernel writes it: words of the machine's byte order.
fn end(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| {
        let word = word.try_into().map_or(0, u32::from_ne_bytes);
        format!("{word:08X}")
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_whose_a_connection_is() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else {
                assert!(at.starts_with('['), "no loopback");
                continue; // A machine without IPv6.
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (here, there) = (client.peer_addr().unwrap(), client.local_addr().unwrap());
            let me = nix::unistd::getuid().as_raw();
            assert!(may_ask(here, there, &[]));
            assert!(may_ask(here, there, &[me.to_string()]));
            assert_eq!(may_ask(here, there, &["no-such-user".into()]), me == 0);
            // Nobody has that connection.
            let nobody = SocketAddr::new(there.ip(), 1);
            assert!(!may_ask(here, nobody, &[me.to_string()]));
        }
    }

    #[test]
    fn an_address_of_ipv4_is_found_whichever_kind_of_socket_either_side_has() {
        let me = [nix::unistd::getuid().as_raw().to_string()];
        for (at, to) in [
            ("[::]:0", "127.0.0.1"),
            ("127.0.0.1:0", "::ffff:127.0.0.1"),
            ("[::]:0", "::ffff:127.0.0.1"),
        ] {
            let listener = TcpListener::bind(at).unwrap();
            let port = listener.local_addr().unwrap().port();
            let _client = TcpStream::connect((to, port)).unwrap();
            let (server, there) = listener.accept().unwrap();
            let here = server.local_addr().unwrap();
            assert!(may_ask(here, there, &me), "{at} from {to}: {here} {there}");
        }
    }

    #[test]
    fn ends_are_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
            0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1\n   \
            1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  4711        0 2\n";
        let [client, server] =
            ["127.0.0.1:50000", "127.0.0.1:8080"].map(|end| end.parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(owner(table, client, server), Some(4711));
            assert_eq!(owner(table, server, client), Some(0));
            assert_eq!(owner(table, client, client), None);
        }
    }
}
