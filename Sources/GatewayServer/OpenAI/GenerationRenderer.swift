import WireProtocols

/// Turns events of the head into OpenAI's JSON, whole or in chunks: one implementation for each endpoint.
package protocol GenerationRenderer: Sendable {
    /// Takes an event in; for a stream, returns the chunks it becomes (none, one or several JSON documents).
    mutating func chunks(for event: ChoiceEvent) -> [[UInt8]]
    /// The last chunk of a stream whose client asked for usage.
    func usageChunk() -> [UInt8]
    /// The whole answer, after all events were taken in.
    func response() -> [UInt8]
    /// The counts so far.
    var usage: Usage { get }
}

/// What both endpoints put around their answers.
package struct ResponseEnvelope: Sendable {
    /// "chatcmpl-…" or "cmpl-…".
    package var id: String
    /// Unix seconds.
    package var created: Int
    package var model: String
    /// Hex SHA-256 of the weights; empty when not known.
    package var modelDigest: String
    package var choicesPerPrompt: Int
    package var includesUsage: Bool
    package var returnsTokenIDs: Bool
    package var wantsLogprobs: Bool

    package init(
        id: String, created: Int, model: String, modelDigest: String, choicesPerPrompt: Int, includesUsage: Bool,
        returnsTokenIDs: Bool, wantsLogprobs: Bool
    ) {
        self.id = id
        self.created = created
        self.model = model
        self.modelDigest = modelDigest
        self.choicesPerPrompt = choicesPerPrompt
        self.includesUsage = includesUsage
        self.returnsTokenIDs = returnsTokenIDs
        self.wantsLogprobs = wantsLogprobs
    }

    /// Writes the members that every document begins with.
    func write(to writer: inout JSONWriter, object: String) {
        writer.member("id", id)
        writer.member("object", object)
        writer.member("created", created)
        writer.member("model", model)
        writer.name("system_fingerprint")
        if modelDigest.isEmpty { writer.null() } else { writer.string("fp_" + modelDigest.prefix(12)) }
    }
}
