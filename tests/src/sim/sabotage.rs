//! Deliberate defects. A check that catches none of them proves nothing.

use hacluster_core::machine::{Input, Parameters, Preemption, StateKind};
use hacluster_core::time::Duration;

/// What is broken in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// Addresses are never taken away.
    ForgetRelease,
    /// Addresses are announced before the kernel has confirmed them.
    AnnounceEarly,
    /// Packets that should be dropped are believed.
    BelieveGarbage,
    /// `nopreempt` is ignored.
    PreemptAnyway,
    /// Nobody preempts.
    PreemptNever,
    /// Priority 0 is not understood.
    DeafToResign,
    /// A master yields to nobody.
    StubbornMaster,
    /// A backup never takes over.
    LazyBackup,
    /// Who is asked to take over leads nobody.
    LeadNobody,
    /// Who hands over resigns first.
    BreakBeforeMake,
    /// Who hands over yields to its successor only if the adverts say so.
    ForgetSuccessor,
    /// A backup does not learn that its claim was confirmed.
    DeafToClaimed,
    /// A sync group draws no conclusions.
    ForgetGroup,
    /// A member does not begin to rule with its sync group.
    DeafToGroup,
}

impl Sabotage {
    /// What the machine is told instead of `input`.
    pub(super) fn distort(self, kind: StateKind, input: Input) -> Option<Input> {
        let resign = matches!(input, Input::Heard(heard) if heard.priority.is_resign());
        let heard = matches!(input, Input::Heard(_));
        let drop = match self {
            Self::DeafToResign => resign,
            Self::StubbornMaster => heard && kind == StateKind::Master,
            Self::LazyBackup => input == Input::Tick && kind == StateKind::Backup,
            Self::ForgetSuccessor => matches!(input, Input::YieldTo(Some(_))),
            Self::DeafToClaimed => input == Input::Claimed,
            Self::DeafToGroup => input == Input::GroupRules,
            Self::LeadNobody | Self::BreakBeforeMake | Self::ForgetGroup => false,
            Self::None | Self::ForgetRelease | Self::AnnounceEarly | Self::BelieveGarbage => false,
            Self::PreemptAnyway | Self::PreemptNever => false,
        };
        match input {
            _ if drop => None,
            Input::TakeOver { from, .. } if self == Self::LeadNobody => {
                Some(Input::TakeOver { from, lead: None })
            }
            Input::Parameters(parameters) => Some(Input::Parameters(self.parameters(parameters))),
            other => Some(other),
        }
    }

    /// What a router is made of instead of `parameters`.
    pub(super) fn parameters(self, parameters: Parameters) -> Parameters {
        let preemption = match self {
            Self::PreemptAnyway => Preemption::After(Duration::ZERO),
            Self::PreemptNever => Preemption::Never,
            _ => parameters.preemption,
        };
        Parameters { preemption, ..parameters }
    }
}
