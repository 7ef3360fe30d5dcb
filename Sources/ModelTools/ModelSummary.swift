import ModelFiles
import Tensors

/// What a model is made of, from its headers alone.
package struct ModelSummary: Sendable, Equatable, Codable {
    /// The tensors of one type.
    package struct TypeCount: Sendable, Equatable, Codable {
        package var type: String
        package var tensorCount: Int
        package var elementCount: Int
        package var byteCount: Int
    }

    /// GGUF's name of the architecture.
    package var architecture: String
    package var name: String
    /// "gguf" or "safetensors".
    package var format: String
    package var fileCount: Int
    package var layerCount: Int
    /// `D`.
    package var modelWidth: Int
    package var headCount: Int
    package var keyValueHeadCount: Int
    package var vocabularySize: Int
    /// Positions the model was trained for.
    package var contextTokens: Int
    /// Of a mixture of experts; 0 for dense models.
    package var expertCount: Int
    package var expertUsedCount: Int
    /// Weights that a forward pass can use; layers that predict further tokens are left out.
    package var parameterCount: Int
    /// Of these, the ones that take part in one token.
    package var activeParameterCount: Int
    /// Bytes of the tensors in the files.
    package var weightByteCount: Int
    package var types: [TypeCount]
    /// f16 cache bytes for each position over all layers; with latent attention the compressed ones.
    package var kvBytesPerToken: Int
    /// Positions that the layers with a sliding window see; nil when all layers see everything.
    package var slidingWindow: Int?
    /// Layers with that window.
    package var slidingLayerCount: Int
    /// Layers of models that can be described: far above any real one, and few enough to try every cut.
    static let layerBounds = 1...1_024
    /// Characters of a name that are kept.
    private static let nameLength = 256
    /// Weight bytes of each layer, and of what comes before and after all.
    var layerByteCounts: [Int]
    private var slidingLayers: Set<Int> = []
    var inputByteCount: Int
    var outputByteCount: Int

    /// Reads the headers of the model at `path`: a GGUF file, a part of one, or a safetensors folder.
    ///
    /// - Throws: `ModelFileError`, ``ModelToolsError``.
    package init(path: String) throws {
        if SafetensorsCheckpoint.isCheckpoint(path) {
            let checkpoint = try SafetensorsCheckpoint(directory: path)
            try self.init(
                checkpoint, metadata: CheckpointConverter(checkpoint).dimensions, format: "safetensors",
                layer: Self.checkpointLayer)
        } else {
            let file = try GGUFFile(path: path)
            try self.init(file, metadata: file.metadata, format: "gguf", layer: Self.ggufLayer)
        }
    }

    private init(
        _ source: some TensorSource, metadata: GGUFMetadata, format: String, layer layerOf: (String) -> Int?
    ) throws {
        let architecture = try metadata.string("general.architecture")
        func int(_ key: String) throws -> Int? { try Self.size(metadata, "\(architecture).\(key)") }
        self.architecture = architecture.prefix(Self.nameLength).printable
        self.format = format
        name = (try metadata.stringIfPresent("general.name") ?? architecture).prefix(Self.nameLength).printable
        fileCount = source.files.count
        layerCount = try metadata.int("\(architecture).block_count")
        guard Self.layerBounds.contains(layerCount) else {
            throw ModelToolsError(
                .malformed, "\(source.path): \(layerCount) layers, expected 1...\(Self.layerBounds.upperBound)")
        }
        modelWidth = try int("embedding_length") ?? metadata.int("\(architecture).embedding_length")
        slidingWindow = nil
        slidingLayerCount = 0
        headCount = try int("attention.head_count") ?? 0
        keyValueHeadCount = try int("attention.head_count_kv") ?? headCount
        vocabularySize = try int("vocab_size") ?? metadata.stringArrayIfPresent("tokenizer.ggml.tokens")?.count ?? 0
        contextTokens = try int("context_length") ?? 0
        expertCount = try int("expert_count") ?? 0
        expertUsedCount = try int("expert_used_count") ?? 0
        guard expertCount == 0 || expertUsedCount <= expertCount else {
            throw ModelToolsError(.malformed, "\(source.path): \(expertUsedCount) experts used of \(expertCount)")
        }
        kvBytesPerToken = try Self.kvBytesPerToken(
            metadata, architecture, layers: layerCount, keyValueHeads: keyValueHeadCount, headCount: headCount,
            modelWidth: modelWidth)
        if let window = try int("attention.sliding_window"), window > 0, let pattern = try Self.slidingPattern(metadata)
        {
            slidingWindow = window
            slidingLayers = Set((0..<layerCount).filter { pattern < 1 || ($0 + 1) % pattern != 0 })
            slidingLayerCount = slidingLayers.count
        }

        layerByteCounts = [Int](repeating: 0, count: layerCount)
        (inputByteCount, outputByteCount, parameterCount, activeParameterCount, weightByteCount) = (0, 0, 0, 0, 0)
        types = []
        var counts: [String: TypeCount] = [:]
        for name in source.tensorNames {
            guard let tensor = source.description(of: name) else { continue }
            let layer = layerOf(name)
            if let layer, layer >= layerCount { continue }
            add(tensor, layer: layer)
            counts[
                tensor.typeName,
                default: TypeCount(type: tensor.typeName, tensorCount: 0, elementCount: 0, byteCount: 0)
            ]
            .add(tensor)
        }
        types = counts.values.sorted { ($1.byteCount, $0.type) < ($0.byteCount, $1.type) }
        try validate(source.path)
    }

    /// Architectures whose shape we know; others may leave sizes out, or have layers without attention.
    private static let known = Set(CheckpointArchitecture.allCases.map(\.rawValue))

    /// Sizes that no model of these families can have, as the engine refuses them too: a file that says them is broken,
    /// and what would be computed from them is wrong.
    ///
    /// - Throws: ``ModelToolsError`` `malformed`, naming the size.
    private func validate(_ path: String) throws {
        func refuse(_ why: String) -> ModelToolsError { ModelToolsError(.malformed, "\(path): \(why)") }
        guard modelWidth > 0 else { throw refuse("a width of \(modelWidth)") }
        guard expertCount == 0 || expertUsedCount > 0 else {
            throw refuse("\(expertCount) experts of which none is used")
        }
        guard !types.isEmpty, parameterCount > 0 else { throw refuse("there are no tensors in it") }
        guard Self.known.contains(architecture) else { return }
        guard (1...1_024).contains(headCount) else { throw refuse("\(headCount) heads, expected 1...1024") }
        guard keyValueHeadCount > 0, headCount % keyValueHeadCount == 0 else {
            throw refuse("\(headCount) heads of queries with \(keyValueHeadCount) of keys and values")
        }
        guard vocabularySize > 0 else { throw refuse("a vocabulary of \(vocabularySize) tokens") }
        guard contextTokens > 1 else {
            throw refuse(
                "a context of \(contextTokens) token\(contextTokens == 1 ? "" : "s") leaves no room for an answer")
        }
        guard kvBytesPerToken > 0 || architecture == CheckpointArchitecture.bert.rawValue else {
            throw refuse("heads of width 0")
        }
    }

    /// Whether some of the weights are stored in blocks of rounded values.
    package var isQuantized: Bool {
        types.contains {
            !["F64", "F32", "F16", "BF16", "F8_E4M3", "I8", "I16", "I32", "I64", "BOOL"].contains($0.type)
        }
    }

    /// Whether the model encodes texts and keeps no cache.
    package var isEncoder: Bool { architecture == CheckpointArchitecture.bert.rawValue }

    /// f16 cache bytes of one sequence of so many positions: what layers with a window do not see any more is not counted.
    package func kvByteCount(contextTokens tokens: Int, layers: Int, slidingLayers: Int) -> Int {
        let perLayer = kvBytesPerToken / layerCount
        let seen = min(tokens, slidingWindow ?? tokens)
        return perLayer.multipliedClamped(by: tokens).multipliedClamped(by: layers - slidingLayers)
            .addedClamped(to: perLayer.multipliedClamped(by: seen).multipliedClamped(by: slidingLayers))
    }

    /// Whether the layer sees a window only.
    func isSliding(_ layer: Int) -> Bool { slidingLayers.contains(layer) }

    /// Each how manieth layer sees everything; nil where no rule is known, so that all do.
    private static func slidingPattern(_ metadata: GGUFMetadata) throws -> Int? {
        let architecture = try metadata.string("general.architecture")
        let usual = ["gemma2": 2, "gemma3": CheckpointMetadata.usualPattern][architecture]
        guard case .array? = metadata["\(architecture).attention.sliding_window_pattern"] else {
            return try metadata.intIfPresent("\(architecture).attention.sliding_window_pattern") ?? usual
        }
        return usual
    }

    private mutating func add(_ tensor: TensorDescription, layer: Int?) {
        parameterCount += tensor.elementCount
        weightByteCount += tensor.byteCount
        let isExpert = tensor.name.contains("_exps.") || tensor.name.contains(".experts.")
        activeParameterCount +=
            isExpert && expertCount > 0 ? tensor.elementCount / expertCount * expertUsedCount : tensor.elementCount
        if let layer, layerByteCounts.indices.contains(layer) {
            layerByteCounts[layer] += tensor.byteCount
        } else if tensor.name.contains("embd") || tensor.name.contains("embed") || tensor.name.hasPrefix("rope_freqs") {
            inputByteCount += tensor.byteCount
        } else {
            outputByteCount += tensor.byteCount
        }
    }

    /// A size as files have it, so small that sums of a few stay far from overflow.
    private static func size(_ metadata: GGUFMetadata, _ key: String) throws -> Int? {
        guard let value = try metadata.intIfPresent(key) else { return nil }
        guard (0...Int(Int32.max)).contains(value) else {
            throw ModelToolsError(.malformed, "\(metadata.source): \(key) is \(value), expected 0...\(Int32.max)")
        }
        return value
    }

    /// Two bytes for each element of the keys and values; latent attention keeps the shared latent and rope part only.
    private static func kvBytesPerToken(
        _ metadata: GGUFMetadata, _ architecture: String, layers: Int, keyValueHeads: Int, headCount: Int,
        modelWidth: Int
    ) throws -> Int {
        func int(_ key: String) throws -> Int? { try size(metadata, "\(architecture).\(key)") }
        if architecture == "bert" { return 0 }
        let elements: Int
        if let rank = try int("attention.kv_lora_rank") {
            elements = rank + (try int("rope.dimension_count") ?? 0)
        } else {
            let derived = headCount > 0 ? modelWidth / headCount : 0
            let key = try int("attention.key_length") ?? derived
            elements = keyValueHeads.multipliedClamped(by: key + (try int("attention.value_length") ?? key))
        }
        return (2 * layers).multipliedClamped(by: elements)
    }

    /// `blk.7...`.
    private static func ggufLayer(_ name: String) -> Int? {
        let parts = name.split(separator: ".", maxSplits: 2)
        return parts.count == 3 && parts[0] == "blk" ? Int(parts[1]) : nil
    }

    /// `...layers.7...` or BERT's `...layer.7...`.
    private static func checkpointLayer(_ name: String) -> Int? {
        let parts = name.split(separator: ".")
        guard let index = parts.firstIndex(where: { $0 == "layers" || $0 == "layer" }), index + 1 < parts.count else {
            return nil
        }
        return Int(parts[index + 1])
    }
}

extension ModelSummary.TypeCount {
    fileprivate mutating func add(_ tensor: TensorDescription) {
        tensorCount += 1
        elementCount += tensor.elementCount
        byteCount += tensor.byteCount
    }
}

extension Int {
    /// The product, or the largest number: sizes come from files that may say anything.
    func multipliedClamped(by other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }

    /// The sum, or the largest number.
    func addedClamped(to other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
