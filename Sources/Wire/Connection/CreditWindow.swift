/// The credits of one direction of one stream.
///
/// A payload may pass while the balance is positive, and lowers it by its cost, possibly below zero: so a message larger
/// than the window still gets through, and the receiver holds at most the window plus one frame.
struct CreditWindow: Sendable, Equatable {
    /// What a balance may not exceed, so that grants cannot overflow.
    static let maximum = Int(Int32.max)

    private(set) var balance: Int

    init(initial: Int) {
        balance = initial
    }

    /// True when a payload may pass now.
    var isOpen: Bool { balance > 0 }

    /// Takes `cost` when a payload may pass.
    ///
    /// - Returns: false, and nothing taken, when it must wait.
    mutating func spend(_ cost: Int) -> Bool {
        guard isOpen else { return false }
        balance -= cost
        return true
    }

    /// Adds what the receiver granted.
    ///
    /// - Throws: FLOW_CONTROL when the balance would exceed 2^31 - 1.
    mutating func grant(_ bytes: Int) throws(ConnectionFault) {
        guard balance + bytes <= Self.maximum else {
            throw ConnectionFault(.flowControl, "credits of \(balance) + \(bytes) exceed \(Self.maximum)")
        }
        balance += bytes
    }
}
