//! What librdkafka's error codes mean to us.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What to do about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Heals by itself: a broker is away, a leader moves, a coordinator loads.
    Transient,
    /// Another producer holds our transactional id.
    Fenced,
    /// Who we say we are is not believed.
    Authentication,
    /// We may not do this.
    Authorization,
    /// A record exceeds a limit.
    TooLarge,
    /// An offset is not held any more, or never was.
    OutOfRange,
    /// The request can never succeed as it is.
    Refused,
    /// Not known to heal, nor not to.
    Unknown,
}

/// Returns what `code` means.
///
/// Source: <https://kafka.apache.org/protocol#protocol_error_codes>
#[expect(clippy::too_many_lines, reason = "one table, a line for each code")]
pub(crate) fn kind(code: Code) -> Kind {
    match code {
        Code::BrokerTransportFailure
        | Code::Resolve
        | Code::MessageTimedOut
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::QueueFull
        | Code::ISRInsufficient
        | Code::NodeUpdate
        | Code::WaitingForCoordinator
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Retry
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::UnknownBroker
        | Code::DestroyBroker
        | Code::BrokerDestroy
        // Known an instant later, or found missing when the writer opens again.
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::NotController
        | Code::ConcurrentTransactions
        | Code::KafkaStorageError
        | Code::ReassignmentInProgress
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::UnstableOffsetCommit
        | Code::ThrottlingQuotaExceeded => Kind::Transient,
        Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced => Kind::Fenced,
        Code::Authentication
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SaslAuthenticationFailed
        | Code::UnacceptableCredential => Kind::Authentication,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed => Kind::Authorization,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Kind::TooLarge
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => Kind::OutOfRange,
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::UnsupportedCompressionType
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::InvalidRecord => Kind::Refused,
        // The list is the client's and grows; what is not named here is not known to heal.
        _ => Kind::Unknown,
    }
}
