//! Authentication of VRRPv2 [RFC 2338 section 5.3.6; removed by RFC 3768, spoken by keepalived].

use core::fmt;

/// Length of the authentication data that ends every VRRPv2 packet, used or not.
pub const AUTH_DATA_LEN: usize = 8;

/// What an advert carries, or must carry, to be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Auth {
    /// Type 0: nothing; the data bytes mean nothing either.
    None,
    /// Type 1: a password in clear, padded with zeros.
    Pass([u8; AUTH_DATA_LEN]),
}

impl Auth {
    /// The first 8 bytes of `password`, zero-padded.
    pub fn pass(password: &[u8]) -> Self {
        let mut data = [0; AUTH_DATA_LEN];
        for (to, from) in data.iter_mut().zip(password) {
            *to = *from;
        }
        Self::Pass(data)
    }

    /// The number of this type in the packet.
    pub const fn type_number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Pass(_) => 1,
        }
    }

    /// The bytes at the packet's end.
    pub const fn data(self) -> [u8; AUTH_DATA_LEN] {
        match self {
            Self::None => [0; AUTH_DATA_LEN],
            Self::Pass(data) => data,
        }
    }
}

impl fmt::Debug for Auth {
    /// The password never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Pass(_) => "Pass(********)",
        })
    }
}
