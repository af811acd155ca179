//! x
use crate::harness::*;
#[test]
fn hello() {
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let a = gateway.get("/x");
    assert_eq!(a.status, 200);
    println!("{}", String::from_utf8_lossy(&origin.last().head));
}
