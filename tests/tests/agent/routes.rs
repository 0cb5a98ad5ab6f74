//! Routes, rules and what is static: they follow the master, come back, and nothing is left behind.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_for, wait_until};
use hacluster_net::netlink::{Hop, ROUTE_PROTOCOL, RouteSpec};
use hacluster_tests::harness::{
    Instance, Running, Suite, VIP, Wire, free, hold, pair, remove_address, settle_first,
};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("routes_and_rules_follow_the_master", follow_the_master);
    suite.trial("a_route_or_rule_deleted_by_hand_is_back", deleted_by_hand);
    suite.trial("routes_dropped_with_a_link_or_an_address_are_back", dropped_by_the_kernel);
    suite.trial("routes_survive_a_killed_agent_and_a_successor_keeps_them", survive_a_crash);
    suite.trial("routes_nobody_names_any_more_are_cleaned", stale_are_cleaned);
    suite.trial("a_route_of_another_program_stays_and_is_told", of_another_program);
    suite.trial("a_route_replaced_by_hand_is_told_at_once_and_comes_back_after_it", replaced_by_hand);
    suite.trial("a_route_through_a_dead_interface_is_a_fault_unless_untracked", through_a_dead_interface);
    suite.trial("what_is_static_is_set_kept_and_removed_at_the_end", statics);
    suite.trial("a_reload_changes_routes_alone", reload);
    suite.trial("a_route_that_two_routers_share_stays_while_one_rules", shared);
}

const ROUTES: &str = "virtual_routes {
        10.50.0.0/16 via 10.9.0.9 dev eth0
        src 10.9.0.100 to 10.51.0.0/16 via 10.9.0.9
        10.52.0.0/16 dev eth0 table 1000 metric 7
        blackhole 10.53.0.0/16
    }
    virtual_rules {
        from 10.9.0.100 table 1000
        to 10.54.0.0/16 table 1000 priority 50
    }";

/// Routes of [`ROUTES`].
const COUNT: (usize, usize) = (4, 2);

/// How many routes and rules of an agent are on `host`.
fn count(host: &Host) -> Result<(usize, usize)> {
    host.netlink(|requests| {
        Ok((requests.dump_routes(ROUTE_PROTOCOL)?.len(), requests.dump_rules(ROUTE_PROTOCOL)?.len()))
    })
}

fn until(host: &Host, expected: (usize, usize)) -> Result<()> {
    let what = format!("{expected:?} routes and rules on {}", host.name());
    wait_until(&what, LIMIT, || Ok((count(host)? == expected).then_some(()))).with_context(|| {
        let there = host.netlink(|requests| Ok(requests.dump_routes(ROUTE_PROTOCOL)?));
        format!("{there:#?}")
    })
}

/// Deletes them all, as somebody with `ip route flush` and `ip rule flush` would.
fn flush(host: &Host) -> Result<()> {
    host.netlink(|requests| {
        let there = requests.dump_routes(ROUTE_PROTOCOL)?;
        let specs: Vec<_> = there
            .into_iter()
            .map(|entry| RouteSpec {
                kind: entry.kind,
                destination: entry.destination,
                prefix_len: entry.prefix_len,
                tos: entry.tos,
                table: entry.table,
                metric: entry.metric,
                scope: 0,
                source: entry.source,
                hops: entry.hops,
                settings: Vec::new(),
                locked: 0,
            })
            .collect();
        requests.remove_routes(&specs).into_iter().collect::<Result<Vec<_>, _>>()?;
        let rules = requests.dump_rules(ROUTE_PROTOCOL)?;
        requests.remove_rules(&rules).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(())
    })
}

fn follow_the_master() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().with(ROUTES).to_string());
        let backup = (right, Instance::new(100).with(ROUTES).to_string());
        let (master, backup) = settle_first(master, backup, VIP)?;
        until(left, COUNT)?;
        ensure!(count(right)? == (0, 0), "the backup has routes");
        master.stop()?;
        ensure!(count(left)? == (0, 0), "left behind: {:?}", count(left)?);
        until(right, COUNT)?;
        let master = Running::start(left, Instance::new(150).with(ROUTES))?;
        until(left, COUNT)?;
        until(right, (0, 0))?;
        for agent in [master, backup] {
            agent.never_logged(&["had been removed"])?;
            agent.never_logged(&["is not set"])?;
            agent.stop()?;
            ensure!(count(agent.host)? == (0, 0), "left behind");
        }
        Ok(())
    })
}

fn deleted_by_hand() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master().with(ROUTES))?;
        until(left, COUNT)?;
        let transitions = agent.transitions().len();
        for _ in 0..3 {
            flush(left)?;
            until(left, COUNT)?;
        }
        // Routes and rules of one flush may come back together or one after the other.
        agent.logged(&["route(s) or rule(s) had been removed (first ro", "VI_1", "time 3"])?;
        ensure!(agent.transitions().len() == transitions, "the state changed");
        agent.stop()?;
        ensure!(count(left)? == (0, 0), "left behind");
        Ok(())
    })
}

fn dropped_by_the_kernel() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master().with(ROUTES))?;
        until(left, COUNT)?;
        // The kernel drops routes that have the address as their source, without a word.
        remove_address(left, "eth0", "10.9.0.100/24")?;
        agent.logged(&["1 route(s) or rule(s) had been removed (first route 10.51.0.0/16"])?;
        until(left, COUNT)?;
        left.link_down("eth0")?;
        agent.logged(&["Master -> Fault"])?;
        until(left, (0, 0))?;
        left.link_up("eth0")?;
        until(left, COUNT)?;
        agent.stop()?;
        ensure!(count(left)? == (0, 0), "left behind");
        Ok(())
    })
}

fn survive_a_crash() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let config = Instance::new(150).master().with(ROUTES);
        let agent = Running::start(left, &config)?;
        until(left, COUNT)?;
        agent.kill()?;
        ensure!(count(left)? == COUNT, "a killed agent cannot have removed them");
        let killed = Instant::now();
        let successor = Running::start(left, &config)?;
        wire.count("left", 51, killed, 2)?;
        ensure!(count(left)? == COUNT, "they left during the change");
        successor.never_logged(&["had been removed"])?;
        successor.never_logged(&["stale"])?;
        successor.never_logged(&["is not set"])?;
        flush(left)?;
        until(left, COUNT)?;
        successor.stop()?;
        ensure!(count(left)? == (0, 0), "adopted ones are left behind");
        Ok(())
    })
}

fn stale_are_cleaned() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let all = format!(
            "static_routes {{\n10.60.0.0/16 via 10.9.0.9\n}}\n{}",
            Instance::new(150).master().with(ROUTES)
        );
        let agent = Running::start(left, all)?;
        until(left, (5, 2))?;
        agent.kill()?;
        let fewer = "virtual_routes {\n10.50.0.0/16 via 10.9.0.9 dev eth0\n}";
        let successor = Running::start(left, Instance::new(150).master().with(fewer))?;
        successor.logged(&["6 stale route(s) or rule(s) removed"])?;
        hold(left, VIP)?;
        until(left, (1, 0))?;
        successor.never_logged(&["had been removed"])?;
        successor.stop()?;
        ensure!(count(left)? == (0, 0), "left behind");
        Ok(())
    })
}

/// Adds a blackhole as `ip route add blackhole 10.53.0.0/16 proto static` does.
/// Where one of [`ROUTES`] is.
fn foreign() -> RouteSpec {
    RouteSpec {
        kind: 6,
        destination: Ipv4Addr::new(10, 53, 0, 0),
        prefix_len: 16,
        tos: 0,
        table: 254,
        metric: 0,
        scope: 0,
        source: None,
        hops: Vec::<Hop>::new(),
        settings: Vec::new(),
        locked: 0,
    }
}

fn add_foreign(host: &Host) -> Result<()> {
    host.netlink(|requests| Ok(requests.add_route_as(4, &foreign())?))
}

/// As `ip route replace` does it.
fn replaced_by_hand() -> Result<()> {
    let unreachable = || RouteSpec { kind: 7, ..foreign() };
    let elsewhere = || RouteSpec { destination: Ipv4Addr::new(10, 77, 0, 0), ..foreign() };
    Lab::run(pair(), move |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master().with(ROUTES))?;
        until(left, COUNT)?;
        let start = Instant::now();
        left.netlink(move |requests| Ok(requests.replace_route_as(4, &unreachable())?))?;
        agent.logged(&["route blackhole 10.53.0.0/16 is not set: another program has a route"])?;
        // The next listing without a reason comes after half a minute.
        ensure!(start.elapsed() < Duration::from_secs(20), "told after {:?}", start.elapsed());
        until(left, (3, 2))?;
        // Others that are replaced are nothing to us.
        left.netlink(move |requests| {
            requests.add_route_as(4, &elsewhere())?;
            Ok(requests.replace_route_as(4, &elsewhere())?)
        })?;
        left.netlink(move |requests| Ok(requests.remove_route_as(4, &unreachable())?))?;
        until(left, COUNT)?;
        ensure!(agent.lines(&["is not set"]).len() == 1, "told more than once");
        agent.stop()?;
        ensure!(count(left)? == (0, 0), "left behind");
        Ok(())
    })
}

fn of_another_program() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        add_foreign(left)?;
        let agent = Running::start(left, Instance::new(150).master().with(ROUTES))?;
        agent.logged(&["route blackhole 10.53.0.0/16 is not set: another program has a route"])?;
        until(left, (3, 2))?;
        let foreign = || left.netlink(|requests| Ok(requests.dump_routes(4)?.len()));
        agent.stop()?;
        ensure!(agent.lines(&["is not set"]).len() == 1, "told more than once");
        ensure!(count(left)? == (0, 0), "left behind");
        ensure!(foreign()? == 1, "the other program's route is gone");
        Ok(())
    })
}

fn two_cards() -> hacluster_lab::Topology {
    let topology = hacluster_lab::Topology::new("two").network("lan").network("wan");
    let plugs = [("eth0", "lan", "10.9.0.1/24"), ("eth1", "wan", "10.8.0.1/24")];
    topology.node("left", &plugs).node("client", &[("eth0", "lan", "10.9.0.9/24")])
}

fn through_a_dead_interface() -> Result<()> {
    Lab::run(two_cards(), |lab| {
        let left = lab.host("left")?;
        let routes = |more: &str| format!("virtual_routes {{\n10.50.0.0/16 via 10.8.0.9 dev eth1{more}\n}}");
        let agent = Running::start(left, Instance::new(150).master().with(&routes("")))?;
        until(left, (1, 0))?;
        left.link_down("eth1")?;
        agent.logged(&["Master -> Fault"])?;
        free(left, VIP)?;
        left.link_up("eth1")?;
        hold(left, VIP)?;
        until(left, (1, 0))?;
        agent.reload(Instance::new(150).master().with(&routes(" no_track")))?;
        agent.logged(&["reload: VI_1: routes"])?;
        let transitions = agent.transitions().len();
        left.link_down("eth1")?;
        until(left, (0, 0))?;
        left.link_up("eth1")?;
        until(left, (1, 0))?;
        agent.logged(&["had been removed (first route 10.50.0.0/16"])?;
        ensure!(agent.transitions().len() == transitions, "the state changed");
        agent.stop()?;
        ensure!(count(left)? == (0, 0), "left behind");
        Ok(())
    })
}

fn statics() -> Result<()> {
    Lab::run(two_cards(), |lab| {
        let left = lab.host("left")?;
        let own = Ipv4Addr::new(10, 20, 0, 1);
        let fixed = "static_ipaddress {\n10.20.0.1/24 dev eth1\n10.8.0.1/24 dev eth1\n}
            static_routes {\n10.60.0.0/16 via 10.20.0.9 dev eth1\n}\nstatic_rules {\nfrom 10.20.0.1 table 7\n}\n";
        let backup = format!("{fixed}{}", Instance::new(50));
        let agent = Running::start(left, &backup)?;
        hold(left, own)?;
        until(left, (1, 1))?;
        remove_address(left, "eth1", "10.20.0.1/24")?;
        flush(left)?;
        hold(left, own)?;
        until(left, (1, 1))?;
        left.link_down("eth1")?;
        until(left, (0, 1))?;
        left.link_up("eth1")?;
        until(left, (1, 1))?;
        agent.kill()?;
        ensure!(left.holds(own)? && count(left)? == (1, 1), "a killed agent cannot have removed them");
        let agent = Running::start(left, &backup)?;
        hold(left, VIP)?;
        ensure!(left.holds(own)? && count(left)? == (1, 1), "they left during the change");
        agent.never_logged(&["had been removed"])?;
        agent.never_logged(&["stale"])?;
        agent.reload(format!("{}{}", fixed.replace("10.60.", "10.61."), Instance::new(50)))?;
        agent.logged(&["static_routes +(10.61.0.0/16"])?;
        wait_for("the other route", LIMIT, || {
            let there = left.netlink(|requests| Ok(requests.dump_routes(ROUTE_PROTOCOL)?));
            there.is_ok_and(|there| there.len() == 1 && there[0].destination.octets()[1] == 61)
        })?;
        agent.stop()?;
        ensure!(!left.holds(own)? && count(left)? == (0, 0), "left behind");
        ensure!(left.holds(Ipv4Addr::new(10, 8, 0, 1))?, "an address that was there before us is gone");
        Ok(())
    })
}

fn reload() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let with = |line: &str| Instance::new(150).master().with(&format!("virtual_routes {{\n{line}\n}}"));
        let agent = Running::start(left, with("10.50.0.0/16 via 10.9.0.9"))?;
        until(left, (1, 0))?;
        let transitions = agent.transitions().len();
        agent.reload(with("10.50.0.0/16 via 10.9.0.8\n10.51.0.0/16 via 10.9.0.9"))?;
        until(left, (2, 0))?;
        agent.reload(Instance::new(150).master())?;
        until(left, (0, 0))?;
        ensure!(agent.transitions().len() == transitions, "the state changed");
        agent.never_logged(&["had been removed"])?;
        agent.never_logged(&["is not set"])?;
        agent.stop()
    })
}

fn shared() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let both = |first: u8, second: u8| {
            let routes = ROUTES.replace("src 10.9.0.100 to ", "");
            let one = Instance::new(first).with(&routes);
            let two = Instance::new(second).vrid(52).addresses(["10.9.0.101/24"]);
            format!("{one}{}", two.with(&routes))
        };
        let agent = Running::start(left, both(150, 150))?;
        hold(left, VIP)?;
        hold(left, Ipv4Addr::new(10, 9, 0, 101))?;
        wait_for("all routes", LIMIT, || count(left).is_ok_and(|count| count == COUNT))?;
        // One of the two leaves: what both want stays.
        let other = Running::start(right, Instance::new(200))?;
        hold(right, VIP)?;
        free(left, VIP)?;
        agent.logged(&["Master -> Backup"])?;
        until(left, COUNT)?;
        agent.stop()?;
        ensure!(count(left)? == (0, 0), "left behind: {:?}", count(left)?);
        other.stop()
    })
}
