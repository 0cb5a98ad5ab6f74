//! The filter that the kernel applies to every VRRP packet before it wakes us (classic BPF).
//!
//! A host hears the adverts of all routers on its network; those of virtual routers that are not ours
//! should cost nothing. The test is a table of 256 bits, so that one virtual router or 255 cost the same:
//!
//! ```text
//!   version 4? ── protocol 112? ── vrid = byte 1 after the IP header ── (table[vrid / 32] >> (vrid % 32)) & 1
//!       │no             │no             │beyond the end
//!       └───────────────┴───────────────┴──▶ drop
//! ```

use hacluster_core::vrid::Vrid;
use socket2::SockFilter;

/// Keeps the whole packet: `RET` gives the number of bytes to keep.
const KEEP: SockFilter = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX);
const DROP: SockFilter = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0);
const IP_PROTOCOL_OFFSET: u32 = 9;
const VRID_OFFSET: u32 = 1;
const VRRP: u32 = 112;

/// A program that lets nothing pass.
pub(super) const NOTHING: &[SockFilter] = &[DROP];

const fn instruction(code: u32, jump_true: u8, jump_false: u8, k: u32) -> SockFilter {
    SockFilter::new(code as u16, jump_true, jump_false, k)
}

/// The program that lets VRRP packets of `vrids` pass. What is wrong with them otherwise is not judged
/// here: it has to be counted.
pub(super) fn only(vrids: &[Vrid]) -> Vec<SockFilter> {
    use libc::*;
    let mut table = [0u32; 8];
    for vrid in vrids {
        table[usize::from(vrid.get() / 32)] |= 1 << (vrid.get() % 32);
    }
    let mut program = vec![
        instruction(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),
        instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf0),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0x40),
        DROP,
        instruction(BPF_LD | BPF_B | BPF_ABS, 0, 0, IP_PROTOCOL_OFFSET),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, VRRP),
        DROP,
        // X = length of the IP header, options included; a load beyond the end drops the packet.
        instruction(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0),
        instruction(BPF_LD | BPF_B | BPF_IND, 0, 0, VRID_OFFSET),
        instruction(BPF_MISC | BPF_TAX, 0, 0, 0),
        instruction(BPF_ALU | BPF_RSH | BPF_K, 0, 0, 5),
    ];
    // A = vrid / 32 selects a word; each case is a test, a load and a jump behind the last case.
    for (word, bits) in (0..).zip(table) {
        program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, word));
        program.push(instruction(BPF_LD | BPF_IMM, 0, 0, bits));
        program.push(instruction(BPF_JMP | BPF_JA, 0, 0, (7 - word) * 3));
    }
    program.extend([
        instruction(BPF_ST, 0, 0, 0),
        instruction(BPF_MISC | BPF_TXA, 0, 0, 0),
        instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, 31),
        instruction(BPF_MISC | BPF_TAX, 0, 0, 0),
        instruction(BPF_LD | BPF_MEM, 0, 0, 0),
        instruction(BPF_ALU | BPF_RSH | BPF_X, 0, 0, 0),
        instruction(BPF_JMP | BPF_JSET | BPF_K, 0, 1, 1),
        KEEP,
        DROP,
    ]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes the kernel would keep of `packet`.
    fn run(program: &[SockFilter], packet: &[u8]) -> u32 {
        interpret(program, packet).unwrap_or(0)
    }

    /// Classic BPF, as far as it is used here; `None` for a load beyond the packet, which drops it.
    fn interpret(program: &[SockFilter], packet: &[u8]) -> Option<u32> {
        use libc::*;
        let byte = |offset: u32| packet.get(offset as usize).map(|&byte| u32::from(byte));
        let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
        loop {
            // The fields of SockFilter are private: its layout is the kernel's `struct sock_filter`.
            // SAFETY: SockFilter is a transparent wrapper of sock_filter.
            let step: sock_filter = unsafe { std::mem::transmute_copy(&program[at]) };
            let jump = |truth: bool| usize::from(if truth { step.jt } else { step.jf });
            at += 1;
            match u32::from(step.code) {
                code if code == BPF_RET | BPF_K => return Some(step.k),
                code if code == BPF_LD | BPF_B | BPF_ABS => a = byte(step.k)?,
                code if code == BPF_LD | BPF_B | BPF_IND => a = byte(x + step.k)?,
                code if code == BPF_LDX | BPF_B | BPF_MSH => x = (byte(step.k)? & 15) * 4,
                code if code == BPF_LD | BPF_IMM => a = step.k,
                code if code == BPF_LD | BPF_MEM => a = memory[step.k as usize],
                code if code == BPF_ST => memory[step.k as usize] = a,
                code if code == BPF_ALU | BPF_AND | BPF_K => a &= step.k,
                code if code == BPF_ALU | BPF_RSH | BPF_K => a >>= step.k,
                code if code == BPF_ALU | BPF_RSH | BPF_X => a >>= x,
                code if code == BPF_MISC | BPF_TAX => x = a,
                code if code == BPF_MISC | BPF_TXA => a = x,
                code if code == BPF_JMP | BPF_JA => at += step.k as usize,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => at += jump(a == step.k),
                code if code == BPF_JMP | BPF_JSET | BPF_K => at += jump(a & step.k != 0),
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    fn packet(header_words: u8, protocol: u8, vrid: u8) -> Vec<u8> {
        let mut packet = vec![0; usize::from(header_words) * 4];
        packet[0] = 0x40 | header_words;
        packet[9] = protocol;
        packet.extend([0x21, vrid, 100, 1]);
        packet
    }

    fn vrids(numbers: impl IntoIterator<Item = u8>) -> Vec<Vrid> {
        numbers.into_iter().filter_map(Vrid::new).collect()
    }

    #[test]
    fn exactly_the_given_vrids_pass() {
        for set in [vec![], vec![1], vec![255], vec![31, 32, 63, 64, 200], (1..=255).collect()] {
            let program = only(&vrids(set.iter().copied()));
            for vrid in 0..=255 {
                let kept = run(&program, &packet(5, 112, vrid)) != 0;
                assert_eq!(kept, set.contains(&vrid), "vrid {vrid} of {set:?}");
            }
        }
    }

    #[test]
    fn ip_options_do_not_hide_the_vrid() {
        let program = only(&vrids([51]));
        for words in 5..=15 {
            assert_ne!(run(&program, &packet(words, 112, 51)), 0, "{words} words");
            assert_eq!(run(&program, &packet(words, 112, 52)), 0, "{words} words");
        }
    }

    #[test]
    fn other_protocols_versions_and_stumps_are_dropped() {
        let program = only(&vrids(1..=255));
        assert_eq!(run(&program, &packet(5, 51, 51)), 0);
        let mut six = packet(5, 112, 51);
        six[0] = 0x65;
        assert_eq!(run(&program, &six), 0);
        let whole = packet(5, 112, 51);
        for end in 0..22 {
            assert_eq!(run(&program, &whole[..end]), 0, "{end} bytes");
        }
        assert_eq!(run(&program, &whole[..22]), u32::MAX);
    }

    #[test]
    fn nothing_passes_nothing() {
        assert_eq!(run(NOTHING, &packet(5, 112, 51)), 0);
    }
}
