//! Adverts and announcements over a real cable.

use super::{
    Body,
    world::{World, plain, wait_until},
};
use hacluster_core::vrid::Vrid;
use hacluster_net::{
    Errno, NetError,
    netns::NetNs,
    raw::{ArpSocket, Outgoing, RecvBuffers, VrrpSocket},
};
use libtest_mimic::Failed;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::Read,
    net::Ipv4Addr,
    os::fd::AsFd,
    time::{Duration, Instant},
};

pub(crate) const TRIALS: &[(&str, Body)] = &[
    ("packets::a_multicast_advert_crosses_the_cable", a_multicast_advert_crosses_the_cable),
    ("packets::only_our_vrids_pass_the_filter", only_our_vrids_pass_the_filter),
    ("packets::bursts_of_300_arrive_in_order", bursts_of_300_arrive_in_order),
    ("packets::other_groups_and_interfaces_are_not_heard", other_groups_and_interfaces_are_not_heard),
    ("packets::joins_are_counted", joins_are_counted),
    ("packets::refusals_are_told_apart", refusals_are_told_apart),
    ("packets::a_packet_too_long_is_cut_and_counted", a_packet_too_long_is_cut_and_counted),
    ("packets::how_long_packets_waited_is_known", how_long_packets_waited_is_known),
    ("packets::announcements_arrive", announcements_arrive),
];

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// IP header of 20 bytes, then a VRRP packet of 20 with `vrid` and a number for the test's own use.
fn advert(destination: Ipv4Addr, vrid: u8, number: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0xc0, 0, 40, 0, 1, 0, 0, 255, 112, 0, 0];
    packet.extend(SOURCE.octets());
    packet.extend(destination.octets());
    packet.extend([0x21, vrid, number, 1, 0, 1, 0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    packet
}

fn vrids(numbers: &[u8]) -> Vec<Vrid> {
    numbers.iter().filter_map(|&number| Vrid::new(number)).collect()
}

/// A sender on `a`, and on `b` a receiver for `vrids`. `b` lies in a namespace of its own: a host takes
/// no multicast that carries an address of its own as source.
struct Pair {
    sender: VrrpSocket,
    receiver: VrrpSocket,
    far: NetNs,
    far_index: u32,
}

impl Pair {
    fn lay(world: &mut World, numbers: &[u8]) -> Result<Self, Failed> {
        world
            .requests
            .add_addresses([&plain(world.a.index, 1)])
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let far = NetNs::new()?;
        world.requests.move_to_netns("b", far.as_fd())?;
        let (receiver, far_index) = far.run_in(|| {
            let mut requests = hacluster_net::netlink::Requests::open()?;
            requests.set_up("b")?;
            let index = requests.link("b")?.index;
            requests.add_addresses([&plain(index, 2)]).into_iter().collect::<Result<Vec<_>, _>>()?;
            let mut receiver = VrrpSocket::open(index, "b")?;
            receiver.join(GROUP)?;
            receiver.set_filter(&vrids(numbers))?;
            Ok::<_, NetError>((receiver, index))
        })??;
        wait_until("the cable carries again", || Ok(world.requests.link("a")?.running))?;
        let sender = VrrpSocket::open(world.a.index, "a")?;
        Ok(Self { sender, receiver, far, far_index })
    }

    fn send(&self, packets: &[Vec<u8>]) -> Result<(), Failed> {
        let outgoing: Vec<_> = packets
            .iter()
            .map(|bytes| Outgoing {
                destination: Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]),
                bytes,
            })
            .collect();
        let mut refused = None;
        let sent = self.sender.send(&outgoing, &mut |_, error| refused = Some(error));
        refused.map_or(Ok(()), Err)?;
        assert_eq!(sent, packets.len());
        Ok(())
    }

    /// The next `count` packets that arrive, and no more.
    fn receive(&mut self, count: usize) -> Result<Vec<Vec<u8>>, Failed> {
        receive(&self.receiver, count)
    }
}

fn receive(socket: &VrrpSocket, count: usize) -> Result<Vec<Vec<u8>>, Failed> {
    let mut buffers = RecvBuffers::new();
    let mut packets = Vec::new();
    wait_until("all packets arrived", || {
        while socket.recv(&mut buffers)? > 0 {
            packets.extend(buffers.packets().map(|packet| packet.bytes.to_vec()));
        }
        Ok(packets.len() >= count)
    })?;
    assert_eq!(packets.len(), count);
    Ok(packets)
}

fn a_multicast_advert_crosses_the_cable(world: &mut World) -> Result<(), Failed> {
    let mut pair = Pair::lay(world, &[51])?;
    let packet = advert(GROUP, 51, 100);
    pair.send(std::slice::from_ref(&packet))?;
    let received = pair.receive(1)?;
    // The kernel has filled in the header checksum and nothing else.
    assert_eq!(received[0][..10], packet[..10]);
    assert_ne!(received[0][10..12], [0, 0]);
    assert_eq!(received[0][12..], packet[12..]);
    Ok(())
}

fn only_our_vrids_pass_the_filter(world: &mut World) -> Result<(), Failed> {
    let mut pair = Pair::lay(world, &[1, 64, 255])?;
    let all: Vec<_> = (0..=255).map(|vrid| advert(GROUP, vrid, 0)).collect();
    pair.send(&all)?;
    let heard: Vec<_> = pair.receive(3)?.iter().map(|packet| packet[21]).collect();
    assert_eq!(heard, [1, 64, 255]);
    pair.receiver.set_filter(&vrids(&[2]))?;
    pair.send(&all)?;
    assert_eq!(pair.receive(1)?[0][21], 2);
    Ok(())
}

fn bursts_of_300_arrive_in_order(world: &mut World) -> Result<(), Failed> {
    let mut pair = Pair::lay(world, &[7])?;
    for _ in 0..3 {
        pair.send(&(0..300).map(|number| advert(GROUP, 7, (number % 251) as u8)).collect::<Vec<_>>())?;
        let numbers: Vec<_> = pair.receive(300)?.iter().map(|packet| packet[22]).collect();
        assert_eq!(numbers, (0..300).map(|number| (number % 251) as u8).collect::<Vec<_>>());
    }
    Ok(())
}

fn other_groups_and_interfaces_are_not_heard(world: &mut World) -> Result<(), Failed> {
    let mut pair = Pair::lay(world, &[7])?;
    let other_group = Ipv4Addr::new(224, 0, 100, 5);
    // A neighbour of the receiver on the same interface and in that group; and one on another interface.
    let (index, far) = (pair.far_index, &pair.far);
    let (neighbour, elsewhere) = far.run_in(|| {
        let mut neighbour = VrrpSocket::open(index, "b")?;
        neighbour.join(other_group)?;
        neighbour.set_filter(&vrids(&[7]))?;
        let mut requests = hacluster_net::netlink::Requests::open()?;
        requests.create_veth("c", "d", None)?;
        requests.set_up("c")?;
        let elsewhere = VrrpSocket::open(requests.link("c")?.index, "c")?;
        elsewhere.set_filter(&vrids(&[7]))?;
        Ok::<_, NetError>((neighbour, elsewhere))
    })??;
    pair.send(&[advert(other_group, 7, 1), advert(GROUP, 7, 2), advert(Ipv4Addr::new(10, 0, 0, 2), 7, 3)])?;
    let numbers: Vec<_> = pair.receive(2)?.iter().map(|packet| packet[22]).collect();
    assert_eq!(numbers, [2, 3], "the group and unicast, not the other group");
    let numbers: Vec<_> = receive(&neighbour, 2)?.iter().map(|packet| packet[22]).collect();
    assert_eq!(numbers, [1, 3], "the other group and unicast");
    receive(&elsewhere, 0)?;
    Ok(())
}

fn joins_are_counted(world: &mut World) -> Result<(), Failed> {
    let mut pair = Pair::lay(world, &[7])?;
    pair.receiver.join(GROUP)?;
    pair.receiver.leave(GROUP);
    pair.send(&[advert(GROUP, 7, 1)])?;
    assert_eq!(pair.receive(1)?[0][22], 1, "one join is left");
    pair.receiver.leave(GROUP);
    pair.receiver.leave(GROUP);
    pair.send(&[advert(GROUP, 7, 2), advert(Ipv4Addr::new(10, 0, 0, 2), 7, 3)])?;
    assert_eq!(pair.receive(1)?[0][22], 3, "unicast alone");
    pair.receiver.join(GROUP)?;
    pair.send(&[advert(GROUP, 7, 4)])?;
    assert_eq!(pair.receive(1)?[0][22], 4);
    Ok(())
}

fn refusals_are_told_apart(world: &mut World) -> Result<(), Failed> {
    let mut pair = Pair::lay(world, &[7])?;
    let (good, stump) = (advert(GROUP, 7, 1), vec![0x45u8; 8]);
    let packet = |bytes| Outgoing { destination: GROUP, bytes };
    let mut refused = Vec::new();
    let sent = pair.sender.send(&[packet(&good), packet(&stump), packet(&good)], &mut |position, error| {
        refused.push((position, error.errno()));
    });
    assert_eq!((sent, refused), (2, vec![(1, Errno::EINVAL)]));
    pair.receive(2)?;
    world.requests.set_down("a")?;
    let mut text = String::new();
    assert_eq!(pair.sender.send(&[packet(&good)], &mut |_, error| text = error.to_string()), 0);
    assert!(text.starts_with("cannot send an advert to 224.0.0.18 on a: "), "{text}");
    let error = VrrpSocket::open(9999, "ghost").err().ok_or("opened on what is not there")?;
    assert!(error.to_string().starts_with("cannot open a VRRP socket on ghost: "), "{error}");
    Ok(())
}

fn a_packet_too_long_is_cut_and_counted(world: &mut World) -> Result<(), Failed> {
    world.requests.set_mtu("a", 4000)?;
    world.requests.set_mtu("b", 4000)?;
    let pair = Pair::lay(world, &[7])?;
    let mut packet = advert(GROUP, 7, 1);
    packet.resize(3000, 0xee);
    packet[2..4].copy_from_slice(&3000u16.to_be_bytes());
    pair.send(&[advert(GROUP, 7, 1), packet.clone()])?;
    let (mut buffers, mut lengths, mut cut) = (RecvBuffers::new(), Vec::new(), 0);
    wait_until("both packets arrived", || {
        while pair.receiver.recv(&mut buffers)? > 0 {
            lengths.extend(buffers.packets().map(|packet| packet.bytes.len()));
            cut += buffers.cut();
        }
        Ok(lengths.len() >= 2)
    })?;
    assert_eq!((lengths, cut), (vec![40, 1536], 1));
    Ok(())
}

fn how_long_packets_waited_is_known(world: &mut World) -> Result<(), Failed> {
    const PAUSE: Duration = Duration::from_millis(30);
    let pair = Pair::lay(world, &[7])?;
    let mut buffers = RecvBuffers::new();
    // The kernel begins to stamp packets some time after the first socket has asked for it.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let sent = Instant::now();
        pair.send(&[advert(GROUP, 7, 1)])?;
        std::thread::sleep(PAUSE);
        wait_until("the packet arrived", || Ok(pair.receiver.recv(&mut buffers)? > 0))?;
        let most = sent.elapsed();
        let waited = buffers.packets().next().and_then(|packet| packet.waited).ok_or("it says nothing")?;
        assert!(waited <= most, "{waited:?} of {most:?}");
        if waited >= PAUSE - Duration::from_millis(5) {
            break;
        }
        assert!(Instant::now() < end, "only {waited:?}, though it lay there for {PAUSE:?}");
    }
    assert_eq!(pair.receiver.recv(&mut buffers)?, 0);
    assert_eq!(buffers.packets().count(), 0);
    Ok(())
}

fn announcements_arrive(world: &mut World) -> Result<(), Failed> {
    const ETHERTYPE_ARP: u16 = 0x0806;
    // A packet socket of that protocol hears all interfaces; on the cable's ends both sides show.
    let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
    let mut listener = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    listener.set_nonblocking(true)?;
    let frames: Vec<Vec<u8>> = (0..100u8)
        .map(|number| {
            let mut frame = [[0xff; 6], world.a.mac].concat();
            frame.extend(ETHERTYPE_ARP.to_be_bytes());
            frame.extend([0, 1, 8, 0, 6, 4, 0, 1, number]);
            frame.resize(42, 0);
            frame
        })
        .collect();
    let outgoing: Vec<_> = frames.iter().map(|frame| (world.a.index, frame.as_slice())).collect();
    let socket = ArpSocket::open()?;
    let mut refused = None;
    assert_eq!(socket.send(&outgoing, &mut |_, error| refused = Some(error)), 100, "{refused:?}");
    let mut heard = Vec::new();
    wait_until("all announcements arrived", || {
        let mut room = [0; 2048];
        while let Ok(length) = listener.read(&mut room) {
            heard.push(room[..length].to_vec());
        }
        Ok(heard.len() >= frames.len())
    })?;
    assert_eq!(heard, frames);
    let mut refused = Vec::new();
    let sent = socket.send(&[(9999, &frames[0]), (world.a.index, &frames[1])], &mut |position, error| {
        refused.push((position, error.errno()));
    });
    assert_eq!((sent, refused), (1, vec![(0, Errno::ENXIO)]));
    Ok(())
}
