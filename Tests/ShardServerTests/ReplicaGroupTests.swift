import Engine
import InferenceCore
import ShardServer
import Synchronization
import Testing
import Wire
import WireProtocols

@Suite(.timeLimit(.minutes(3))) struct ReplicaGroupTests {
    private func outcomes(_ ranges: [Range<Int>], count: Int) async throws -> [TestGroup.Outcome] {
        try await TestGroup.run(ranges) { group in
            try await group.waitUntilServing()
            return await group.generateTogether((0..<count).map { TestGroup.request($0) }).map(\.comparable)
        }
    }

    @Test("one, two and three stages give the same tokens, texts, counts and log-probabilities to 17 requests at once")
    func stages() async throws {
        let alone = try await TestGroup.run([0..<6]) { group in
            var outcomes: [TestGroup.Outcome] = []
            for index in 0..<17 { outcomes.append(await group.generate(TestGroup.request(index)).comparable) }
            return outcomes
        }
        for outcome in alone {
            #expect(outcome.code == nil)
            #expect(outcome.finished.map { Int($0.completionTokens) } == outcome.tokens.count)
            #expect(!outcome.tokens.isEmpty)
        }
        #expect(alone[0].started?.promptLogprobs.count == alone[0].started?.promptTokenIds.count)
        #expect(try await outcomes([0..<6], count: 17) == alone)
        #expect(try await outcomes([0..<3, 3..<6], count: 17) == alone)
        #expect(try await outcomes([0..<1, 1..<4, 4..<6], count: 17) == alone)
    }

    @Test("the link of three stages outlives the deadline of the join that made it")
    func linkOutlivesJoin() async throws {
        let joinTimeout = Duration.milliseconds(400)
        try await TestGroup.run([0..<1, 1..<4, 4..<6], joinTimeout: joinTimeout) { group in
            try await group.waitUntilServing()
            let end = ContinuousClock.now.advanced(by: joinTimeout * 2)
            while ContinuousClock.now < end {
                let outcome = await group.generate(TestGroup.request(1))
                #expect(outcome.code == nil, "\(outcome.message ?? "")")
            }
        }
    }

    @Test("describe names every stage and says what is served")
    func describe() async throws {
        try await TestGroup.run([0..<1, 1..<4, 4..<6]) { group in
            try await group.waitUntilServing()
            let description = try await group.client.unary(InferenceService.describe, .init())
            #expect(description.model == "fake" && description.modelDigest == "digest")
            #expect(description.stages.map(\.index) == [0, 1, 2])
            #expect(description.stages.map(\.layerEnd) == [1, 4, 6])
            #expect(description.stages.map(\.linked) == [true, true, true])
            #expect(description.maxContextTokens == 128)
            #expect(description.millisecondsSinceLastToken < 60_000)
        }
    }

    @Test("a client that goes away frees its sequence")
    func clientGone() async throws {
        try await TestGroup.run([0..<3, 3..<6]) { group in
            try await group.waitUntilServing()
            var request = TestGroup.request(1, maxTokens: 110)
            request.sampling.ignoreEos = true
            let responses = try await group.client.serverStreaming(InferenceService.generate, request)
            for try await event in responses {
                if case .delta? = event.message.kind { break }
            }
            let deadline = ContinuousClock.now + .seconds(20)
            while group.engine.status.kvBlocksUsed > 1 {
                if ContinuousClock.now > deadline {
                    Issue.record("the sequence was not freed")
                    return
                }
                await Task.yield()
            }
        }
    }

    @Test("bad requests get the right status")
    func badRequests() async throws {
        try await TestGroup.run([0..<6]) { group in
            func code(_ change: (inout Fathom_Shard_V1_GenerateRequest) -> Void) async -> StatusCode? {
                var request = TestGroup.request(1)
                change(&request)
                return await group.generate(request).code
            }
            #expect(await code { _ in } == nil)
            #expect(await code { $0.model = "other" } == .notFound)
            #expect(await code { $0.prompt = .init() } == .invalidArgument)
            #expect(await code { $0.prompt.text = "" } == .invalidArgument)
            #expect(await code { $0.prompt.tokens.ids = [9_999] } == .invalidArgument)
            #expect(await code { $0.prompt.chat = .init() } == .invalidArgument)
            #expect(await code { $0.prompt.text = String(repeating: "a", count: 128) } == .outOfRange)
            #expect(await code { $0.prompt.text = String(repeating: "a", count: 10 << 20) } == .outOfRange)
            #expect(await code { $0.sampling.temperature = -1 } == .invalidArgument)
            #expect(await code { $0.sampling.stop = [""] } == .invalidArgument)
            #expect(await code { $0.sampling.logprobs = 21 } == .invalidArgument)
        }
    }

    @Test("tokenize gives what generate would use")
    func tokenize() async throws {
        try await TestGroup.run([0..<6]) { group in
            var request = Fathom_Shard_V1_TokenizeRequest()
            request.prompt.text = "hi"
            let response = try await group.client.unary(InferenceService.tokenize, request)
            #expect(response.ids == [104, 105])
            #expect(response.maxContextTokens == 128)
        }
    }

    @Test("a stage that dies fails what is in flight; a new one in its place serves the same tokens")
    func stageDies() async throws {
        let ranges = [0..<2, 2..<4, 4..<6]
        let alone = try await outcomes([0..<6], count: 4)
        // The middle stage keeps its port, so that the head finds it again.
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            let last = try await TestStage(ranges: ranges, index: 2, next: nil)
            // Not in the group, because it must die alone.
            let lastTask = Task { try await last.run() }
            let lastTarget = try await last.target()
            guard case .address(_, let lastPort) = lastTarget else { return }
            let middle = try await TestStage(ranges: ranges, index: 1, next: lastTarget)
            tasks.addTask { try await middle.run() }
            let middleTarget = try await middle.target()

            try await TestGroup.runHead(ranges, next: middleTarget) { group in
                try await group.waitUntilServing()
                let before = await group.generateTogether((0..<4).map { TestGroup.request($0) }).map(\.comparable)
                #expect(before == alone)

                var endless = TestGroup.request(1, maxTokens: 120)
                endless.sampling.ignoreEos = true
                let isCut = Mutex(false)
                let cut = await group.generate(endless) { _ in
                    let isFirst = isCut.withLock { isCut in
                        defer { isCut = true }
                        return !isCut
                    }
                    guard isFirst else { return }
                    lastTask.cancel()
                    _ = try? await lastTask.value
                }
                #expect(cut.code == .unavailable)

                let revived = try await TestStage(ranges: ranges, index: 2, next: nil, port: lastPort)
                try await withThrowingTaskGroup(of: Void.self) { revival in
                    revival.addTask { try await revived.run() }
                    try await group.waitUntilServing()
                    let after = await group.generateTogether((0..<4).map { TestGroup.request($0) }).map(\.comparable)
                    #expect(after == alone)
                    revival.cancelAll()
                }
            }
            tasks.cancelAll()
        }
    }

    @Test("stages of different models, layers or caches do not join")
    func join() async throws {
        let ranges = [0..<3, 3..<6]
        let stage = try await TestStage(ranges: ranges, index: 1, next: nil)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await stage.run() }
            let client = WireClient(target: try await stage.target(), logger: TestGroup.quiet)
            func code(_ change: (inout Fathom_Shard_V1_JoinRequest) -> Void) async throws -> StatusCode? {
                var request = Fathom_Shard_V1_JoinRequest()
                request.modelDigest = "digest"
                request.stageIndex = 1
                request.stageCount = 2
                request.layerStart = 3
                request.kvBlockCount = 64
                request.kvBlockSize = 4
                change(&request)
                do {
                    let response = try await client.unary(PipelineService.join, request)
                    #expect(response.layerEnd == 6)
                    return nil
                } catch let error as RPCError {
                    return error.code
                }
            }
            #expect(try await code { $0.modelDigest = "other" } == .failedPrecondition)
            #expect(try await code { $0.layerStart = 2 } == .failedPrecondition)
            #expect(try await code { $0.stageIndex = 2 } == .failedPrecondition)
            #expect(try await code { $0.kvBlockCount = 65 } == .failedPrecondition)
            #expect(try await code { $0.kvBlockSize = 16 } == .failedPrecondition)
            #expect(!stage.isJoined)
            #expect(try await code { _ in } == nil)
            #expect(stage.isJoined)
            await client.close()
            tasks.cancelAll()
        }
    }
}
