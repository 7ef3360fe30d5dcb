import Foundation
import Hummingbird
import Wire
import WireProtocols

/// `POST /v1/embeddings`.
struct EmbeddingRoutes: Sendable {
    /// Most inputs in one request.
    static let maximumInputCount = 2_048
    /// Inputs in one upstream call.
    private static let batchSize = 256

    let configuration: GatewayConfiguration
    let store: StoreClient?
    let readiness: ReadinessMonitor

    /// What is embedded.
    private enum Input {
        case text(String)
        case tokens([UInt32])
    }

    func add(to router: Router<GatewayContext>) {
        router.post("/v1/embeddings") { request, context in try await embed(request, context) }
    }

    private func embed(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let fields = JSONFields(try await request.jsonObject(limit: configuration.maximumBodySize))
        try BodyMembers.check(fields, .embeddings)
        let model = try fields.requiredString("model")
        try check(model)
        let dimensions = try fields.integer("dimensions", in: 1...Int.max)
        let format = try fields.string("encoding_format") ?? "float"
        guard format == "float" || format == "base64" else {
            throw APIError.invalid("'encoding_format' must be 'float' or 'base64'.", parameter: "encoding_format")
        }
        let inputs = try Self.inputs(fields)
        if case .tokens = inputs[0] { try checkTokensAllowed() }
        guard let store else { throw APIError.unavailable("This gateway has no embedding model.") }
        var embeddings: [Fathom_Store_V1_Embedding] = []
        var tokenCount = 0
        for batch in stride(from: 0, to: inputs.count, by: Self.batchSize) {
            let end = min(batch + Self.batchSize, inputs.count)
            let response: Fathom_Store_V1_EmbedResponse
            do {
                response = try await store.embed(Self.request(inputs[batch..<end]), scope: context.scope)
            } catch let error as RPCError where error.code == .outOfRange {
                throw Self.tooLong(error, batch: batch, inputCount: inputs.count)
            }
            embeddings += response.embeddings
            tokenCount += Int(response.promptTokens)
            let size = embeddings.first?.values.count ?? 0
            if let dimensions, dimensions != size {
                throw APIError.invalid(
                    "'dimensions' is \(dimensions), and the model has one size: \(size). Leave it out, or send \(size).",
                    parameter: "dimensions", code: "unsupported_value")
            }
        }
        guard embeddings.count == inputs.count else { throw APIError.internalError }
        context.record.update {
            $0.model = model
            $0.usage = Usage(promptTokens: tokenCount)
        }
        return .json(Self.response(embeddings, model: model, isBase64: format == "base64", tokenCount: tokenCount))
    }

    private func check(_ model: String) throws(APIError) {
        guard model != OperationalRoutes.embeddingModel else { return }
        guard !readiness.current().models.contains(where: { $0.name == model }) else {
            throw .wrongKindOfModel(
                "'\(model)' is a text model; it makes no embeddings.", instead: [OperationalRoutes.embeddingModel])
        }
        throw .modelNotFound([OperationalRoutes.embeddingModel])
    }

    /// Token ids of another tokeniser look like those of the encoder and give the embedding of another text.
    private func checkTokensAllowed() throws(APIError) {
        guard configuration.embeddingTokens == .refused else { return }
        throw .invalid(
            "'input' holds token ids, which only this model's own tokenizer (WordPiece) could have made; send text. "
                + "LangChain's OpenAIEmbeddings sends text with check_embedding_ctx_length=False. "
                + "(An operator may allow token ids: embedding-token-ids.)",
            parameter: "input", code: "unsupported_value")
    }

    /// The store knows an input by its place in the call; the client, in the request.
    private static func tooLong(_ error: RPCError, batch: Int, inputCount: Int) -> APIError {
        guard let place = error.metadata[MetadataKey.inputIndex].flatMap(Int.init),
            let count = error.metadata[MetadataKey.tokenCount]
        else { return APIError(error).about("input") }
        let name = inputCount == 1 ? "input" : "input[\(batch + place)]"
        return .contextLengthExceeded(
            limit: error.metadata[MetadataKey.maxContextTokens],
            found: "'\(name)' has \(count) tokens, start and end marks included", parameter: name)
    }

    private static func inputs(_ fields: JSONFields) throws(APIError) -> [Input] {
        let expected = "a string, an array of strings, an array of token ids, or an array of arrays of token ids"
        guard let value = fields["input"] else { throw fields.missing("input") }
        if let text = value.string { return [.text(try checked(text))] }
        guard let elements = value.array else { throw fields.wrongType("input", expected, value) }
        guard let first = elements.first else { throw .invalid("'input' must not be empty.", parameter: "input") }
        if first.integer != nil { return [.tokens(try tokens(elements, fields))] }
        guard elements.count <= maximumInputCount else {
            throw fields.outOfRange("input", "\(elements.count) inputs", "with at most \(maximumInputCount) inputs")
        }
        var inputs: [Input] = []
        for element in elements {
            switch (element, first) {
            case (.string(let text), .string): inputs.append(.text(try checked(text)))
            case (.array(let ids), .array): inputs.append(.tokens(try tokens(ids, fields)))
            default: throw fields.wrongType("input", expected, element)
            }
        }
        return inputs
    }

    private static func checked(_ text: String) throws(APIError) -> String {
        guard !text.isEmpty else { throw .invalid("'input' must not hold an empty string.", parameter: "input") }
        return text
    }

    private static func tokens(_ elements: [JSONValue], _ fields: JSONFields) throws(APIError) -> [UInt32] {
        guard !elements.isEmpty else { throw .invalid("'input' must not hold an empty array.", parameter: "input") }
        var ids: [UInt32] = []
        for element in elements {
            guard let id = element.integer, let token = UInt32(exactly: id) else {
                throw fields.wrongType("input", "an array of token ids", element)
            }
            ids.append(token)
        }
        return ids
    }

    private static func request(_ inputs: ArraySlice<Input>) -> Fathom_Store_V1_EmbedRequest {
        var request = Fathom_Store_V1_EmbedRequest()
        for input in inputs {
            switch input {
            case .text(let text): request.inputs.append(text)
            case .tokens(let ids):
                var tokens = Fathom_Store_V1_EmbedTokens()
                tokens.ids = ids
                request.tokenInputs.append(tokens)
            }
        }
        return request
    }

    private static func response(
        _ embeddings: [Fathom_Store_V1_Embedding], model: String, isBase64: Bool, tokenCount: Int
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            root.member("object", "list")
            root.list(
                "data",
                { data in
                    for (index, embedding) in embeddings.enumerated() {
                        data.object { entry in
                            entry.member("object", "embedding")
                            entry.member("index", index)
                            if isBase64 {
                                entry.member("embedding", base64(embedding.values))
                            } else {
                                entry.list("embedding", { for value in embedding.values { $0.float(value) } })
                            }
                        }
                    }
                })
            root.member("model", model)
            root.member("usage") { usage in
                usage.member("prompt_tokens", tokenCount)
                usage.member("total_tokens", tokenCount)
            }
        }
        return writer.bytes
    }

    /// Little-endian 32-bit floats.
    static func base64(_ values: [Float]) -> String {
        var data = Data(capacity: values.count * 4)
        for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) } }
        return data.base64EncodedString()
    }
}
