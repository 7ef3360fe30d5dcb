import InferenceCore
import Synchronization

/// A model as the configuration names it.
package struct ModelSpecification: Sendable, Equatable {
    /// What clients call it.
    package var name: String
    /// GGUF file, or folder of safetensors.
    package var path: String

    package init(name: String, path: String) {
        self.name = name
        self.path = path
    }
}

/// What the header of a model's file says: known without loading the model.
package struct ModelCard: Sendable, Equatable {
    package var name: String
    package var path: String
    /// See ``ModelIdentity``.
    package var digest: String
    package var architecture: String
    /// Positions the model was trained for, as far as its KV cache reaches.
    package var maxContextTokens: Int
    package var vocabularySize: Int
    /// Layers of this process's stage.
    package var layers: Range<Int>
    /// The same on all stages.
    package var kvBlockCount: Int
    /// Memory that the model's heaviest stage takes. All stages count this one, so that with the same budget they
    /// agree on what fits.
    package var byteCount: Int
    /// Unix seconds when the file was read.
    package var created: UInt64

    package init(
        name: String, path: String, digest: String, architecture: String, maxContextTokens: Int, vocabularySize: Int,
        layers: Range<Int>, kvBlockCount: Int, byteCount: Int, created: UInt64
    ) {
        self.name = name
        self.path = path
        self.digest = digest
        self.architecture = architecture
        self.maxContextTokens = maxContextTokens
        self.vocabularySize = vocabularySize
        self.layers = layers
        self.kvBlockCount = kvBlockCount
        self.byteCount = byteCount
        self.created = created
    }
}

/// The models that a process may serve, in the order of the configuration, with what is known of each.
///
/// A file that cannot be read leaves its model without a card; requests for it try again, at most once in
/// ``retryInterval``.
package final class ModelCatalog: Sendable {
    private struct Slot {
        var card: ModelCard?
        var problem: InferenceError?
        var triedAt: ContinuousClock.Instant?
    }

    package static let retryInterval = Duration.seconds(2)

    package let names: [String]
    private let read: @Sendable (_ index: Int) throws -> ModelCard
    private let slots: Mutex<[Slot]>

    /// - Parameter read: reads the header of a model's file; throws `InferenceError` in words for whoever asks for the model.
    package init(names: [String], read: @escaping @Sendable (_ index: Int) throws -> ModelCard) {
        precondition(!names.isEmpty, "a shard serves at least one model")
        self.names = names
        self.read = read
        slots = Mutex(names.map { _ in Slot() })
    }

    /// The model called `name`; the first when the name is empty.
    ///
    /// - Throws: `modelNotFound`.
    package func index(named name: String) throws(InferenceError) -> Int {
        if name.isEmpty { return 0 }
        guard let index = names.firstIndex(of: name) else {
            throw InferenceError(code: .modelNotFound, message: "model \"\(name.prefix(200))\" is not served here")
        }
        return index
    }

    /// The model of this digest, the one of this name where several have it.
    package func index(digest: String, name: String) -> Int? {
        slots.withLock { slots in
            let matches = slots.indices.filter { slots[$0].card?.digest == digest }
            return matches.first { names[$0] == name } ?? matches.first
        }
    }

    package func card(of index: Int) -> ModelCard? { slots.withLock { $0[index].card } }

    /// Why there is no card.
    package func problem(of index: Int) -> InferenceError? { slots.withLock { $0[index].problem } }

    /// Reads the header now, on the calling thread.
    ///
    /// - Throws: why the file cannot be used.
    @discardableResult
    package func load(_ index: Int) throws -> ModelCard {
        do {
            let card = try read(index)
            slots.withLock { $0[index] = Slot(card: card) }
            return card
        } catch {
            let problem =
                (error as? InferenceError)
                ?? InferenceError(code: .dataLoss, message: "model \(names[index]) is unusable", cause: error)
            slots.withLock { $0[index] = Slot(problem: problem, triedAt: .now) }
            throw problem
        }
    }

    /// The card of a model, read anew where it is missing.
    ///
    /// - Throws: why the file cannot be used.
    package func currentCard(of index: Int) async throws -> ModelCard {
        let (known, problem) = slots.withLock { slots -> (ModelCard?, InferenceError?) in
            let slot = slots[index]
            if let triedAt = slot.triedAt, triedAt.duration(to: .now) < Self.retryInterval {
                return (nil, slot.problem)
            }
            // Whoever comes while it is being read is told what was wrong before.
            if slot.card == nil { slots[index].triedAt = .now }
            return (slot.card, nil)
        }
        if let known { return known }
        if let problem { throw problem }
        return try await LoaderThread.run { try self.load(index) }
    }

    /// The file is not what the card says: the next request reads it anew.
    package func forget(_ index: Int) {
        slots.withLock { $0[index] = Slot() }
    }
}
