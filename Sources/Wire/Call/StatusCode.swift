/// How a call ended: gRPC's 17 status codes, with gRPC's numbers and meanings.
package struct StatusCode: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    private enum Value: UInt8, CaseIterable {
        case ok, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
        case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, internalError, unavailable
        case dataLoss, unauthenticated
    }

    private let value: Value

    private init(_ value: Value) {
        self.value = value
    }

    /// The code with this number.
    ///
    /// - Returns: nil outside 0...16.
    package init?(rawValue: Int) {
        guard let byte = UInt8(exactly: rawValue), let value = Value(rawValue: byte) else { return nil }
        self.value = value
    }

    /// gRPC's number, 0...16.
    package var rawValue: Int { Int(value.rawValue) }

    /// Every code, by number.
    package static var all: [StatusCode] { Value.allCases.map(StatusCode.init) }

    /// The call succeeded.
    package static let ok = StatusCode(.ok)
    /// The caller gave the call up.
    package static let cancelled = StatusCode(.cancelled)
    /// An error of which nothing is known.
    package static let unknown = StatusCode(.unknown)
    /// The request is wrong whatever the state of the system.
    package static let invalidArgument = StatusCode(.invalidArgument)
    /// The deadline passed before the call ended; it may still have taken effect.
    package static let deadlineExceeded = StatusCode(.deadlineExceeded)
    /// What was asked for does not exist, or not for this caller.
    package static let notFound = StatusCode(.notFound)
    /// What was to be created exists.
    package static let alreadyExists = StatusCode(.alreadyExists)
    /// The caller is known and may not do this.
    package static let permissionDenied = StatusCode(.permissionDenied)
    /// A quota, queue or table is full.
    package static let resourceExhausted = StatusCode(.resourceExhausted)
    /// The system is not in the state the call needs; do not retry before it is.
    package static let failedPrecondition = StatusCode(.failedPrecondition)
    /// A conflict with another call; retry the whole transaction.
    package static let aborted = StatusCode(.aborted)
    /// Past the end of a valid range.
    package static let outOfRange = StatusCode(.outOfRange)
    /// The method, or this use of it, is not supported.
    package static let unimplemented = StatusCode(.unimplemented)
    /// An invariant of the callee broke.
    package static let internalError = StatusCode(.internalError)
    /// The callee cannot be reached or is going away; idempotent calls may be retried.
    package static let unavailable = StatusCode(.unavailable)
    /// Data is lost or corrupt beyond repair.
    package static let dataLoss = StatusCode(.dataLoss)
    /// The caller is not known.
    package static let unauthenticated = StatusCode(.unauthenticated)

    /// gRPC's name: "DEADLINE_EXCEEDED".
    package var description: String {
        switch value {
        case .ok: "OK"
        case .cancelled: "CANCELLED"
        case .unknown: "UNKNOWN"
        case .invalidArgument: "INVALID_ARGUMENT"
        case .deadlineExceeded: "DEADLINE_EXCEEDED"
        case .notFound: "NOT_FOUND"
        case .alreadyExists: "ALREADY_EXISTS"
        case .permissionDenied: "PERMISSION_DENIED"
        case .resourceExhausted: "RESOURCE_EXHAUSTED"
        case .failedPrecondition: "FAILED_PRECONDITION"
        case .aborted: "ABORTED"
        case .outOfRange: "OUT_OF_RANGE"
        case .unimplemented: "UNIMPLEMENTED"
        case .internalError: "INTERNAL"
        case .unavailable: "UNAVAILABLE"
        case .dataLoss: "DATA_LOSS"
        case .unauthenticated: "UNAUTHENTICATED"
        }
    }
}
