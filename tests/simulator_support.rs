//! The simulator as Rust tests see it: started, steered and read through `tests/support`.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

#[test]
fn a_scope_is_steered_logged_and_counted() {
    let simulator = support::Simulator::start();
    simulator.behaviour("mine", &json!({"status": [[503, "busy"]]}));
    let url = simulator.url("mine");
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut wire = TcpStream::connect(address).unwrap();
    write!(wire, "GET /{path}/v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    wire.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 503") && reply.ends_with("busy"), "{reply}");
    assert_eq!(simulator.log("mine")[0]["path"], "/v1/models");
    assert_eq!(simulator.stats("mine")["requests"], 1);
    assert!(simulator.log("").is_empty());
    simulator.reset("mine");
    assert!(simulator.log("mine").is_empty());
}
