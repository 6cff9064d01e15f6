//! Tells the tests what they are built on: programs that are built on a newer system do not run on an older one. And
//! whether there is a Prometheus.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(built_past_debian_12)");
    println!("cargo::rerun-if-changed=/etc/os-release");
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !system.contains("VERSION_ID=\"12\"") {
        println!("cargo::rustc-cfg=built_past_debian_12");
    }
    println!("cargo::rustc-check-cfg=cfg(no_prometheus)");
    let prometheus = ["/usr/bin/prometheus", "/usr/bin/promtool"];
    for program in prometheus {
        println!("cargo::rerun-if-changed={program}");
    }
    if !prometheus
        .iter()
        .all(|program| std::path::Path::new(program).exists())
    {
        println!("cargo::rustc-cfg=no_prometheus");
    }
}
