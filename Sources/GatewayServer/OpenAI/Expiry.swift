/// Reads and writes `expires_after` and `expires_at`.
enum Expiry {
    /// Seconds that a file may live: an hour to thirty days.
    private static let fileSeconds = 3_600...2_592_000
    /// Days that a vector store may be idle.
    private static let vectorStoreDays = 1...365

    /// The seconds that an upload form asks for, as OpenAI's clients write them: `expires_after[anchor]` and
    /// `expires_after[seconds]`. 0: none.
    ///
    /// - Throws: 400 naming the field.
    static func seconds(form: [String: String]) throws(APIError) -> UInt32 {
        let anchor = "expires_after[anchor]"
        let seconds = "expires_after[seconds]"
        guard form[anchor] != nil || form[seconds] != nil else { return 0 }
        guard form[anchor] == "created_at" else {
            throw .invalid("'\(anchor)' must be 'created_at'.", parameter: anchor, code: "invalid_value")
        }
        guard let value = form[seconds].flatMap(Int.init), fileSeconds.contains(value) else {
            throw .invalid(
                "'\(seconds)' must be a number from \(fileSeconds.lowerBound) to \(fileSeconds.upperBound).",
                parameter: seconds, code: "invalid_value")
        }
        return UInt32(value)
    }

    /// The days that the body of a vector store asks for: `{"anchor": "last_active_at", "days": 7}`. 0: none.
    ///
    /// - Throws: 400 naming the member.
    static func days(_ fields: JSONFields) throws(APIError) -> UInt32 {
        guard let policy = try fields.object("expires_after") else { return 0 }
        guard try policy.requiredString("anchor") == "last_active_at" else {
            throw .invalid(
                "'\(policy.parameter("anchor"))' must be 'last_active_at'.", parameter: policy.parameter("anchor"),
                code: "invalid_value")
        }
        guard let days = try policy.integer("days", in: vectorStoreDays) else { throw policy.missing("days") }
        return UInt32(days)
    }

    /// Unix seconds; null for 0, which is never.
    static func json(_ moment: UInt64) -> JSONValue {
        moment == 0 ? .null : .integer(Int(clamping: moment))
    }
}
