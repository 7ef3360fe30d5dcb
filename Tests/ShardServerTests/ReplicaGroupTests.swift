import Engine
import Foundation
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

    @Test("a request in flight when a stage dies goes on when a new one is in its place; so do those that follow")
    func stageDies() async throws {
        let ranges = [0..<2, 2..<4, 4..<6]
        let alone = try await outcomes([0..<6], count: 4)
        var endless = TestGroup.request(1, maxTokens: 100)
        endless.sampling.ignoreEos = true
        let long = endless
        let whole = try await TestGroup.run([0..<6]) { await $0.generate(long).comparable }
        #expect(whole.tokens.count > 50)
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

            // Slow enough to be cut in the middle.
            let slow = TestModel(
                makeStage: {
                    let stage = FakeStage(layers: $0)
                    stage.onForward = { _ in Thread.sleep(forTimeInterval: 0.002) }
                    return stage
                }, served: TestModel.fake.served)
            try await TestGroup.runHead(ranges, next: middleTarget, model: slow) { group in
                try await group.waitUntilServing()
                let before = await group.generateTogether((0..<4).map { TestGroup.request($0) }).map(\.comparable)
                #expect(before == alone)

                let revival = Mutex<Task<Void, any Error>?>(nil)
                let isCut = Mutex(false)
                let cut = await group.generate(long) { _ in
                    let isFirst = isCut.withLock { isCut in
                        defer { isCut = true }
                        return !isCut
                    }
                    guard isFirst else { return }
                    lastTask.cancel()
                    _ = try? await lastTask.value
                    let task = Task {
                        try await TestStage(ranges: ranges, index: 2, next: nil, port: lastPort).run()
                    }
                    revival.withLock { $0 = task }
                }
                #expect(cut.comparable == whole)
                #expect(group.engine.status.requeuedSequences > 0)
                try await group.waitUntilServing()
                let after = await group.generateTogether((0..<4).map { TestGroup.request($0) }).map(\.comparable)
                #expect(after == alone)
                revival.withLock { $0?.cancel() }
            }
            tasks.cancelAll()
        }
    }

    @Test("a step whose hidden states would not fit a frame is made smaller, and loses no link")
    func wideModel() async throws {
        // 16 tokens of this width would take 19 MB.
        let wide = TestModel(
            makeStage: { FakeStage(layers: $0, modelWidth: 300_000) }, served: TestModel.fake.served)
        let alone = try await outcomes([0..<6], count: 4)
        try await TestGroup.run([0..<3, 3..<6], model: wide) { group in
            try await group.waitUntilServing()
            let together = await group.generateTogether((0..<4).map { TestGroup.request($0) }).map(\.comparable)
            #expect(together == alone)
            #expect(group.engine.limits.maxBatchedTokens == 10 && group.engine.status.requeuedSequences == 0)
        }
    }

    @Test("stages of different models, layers or caches do not join")
    func join() async throws {
        let ranges = [0..<3, 3..<6]
        let stage = try await TestStage(ranges: ranges, index: 1, next: nil)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await stage.run() }
            let client = WireClient(target: try await stage.target(), logger: TestGroup.quiet)
            func refusal(_ change: (inout Fathom_Shard_V1_JoinRequest) -> Void) async throws -> String? {
                var request = Fathom_Shard_V1_JoinRequest()
                request.modelDigest = "digest"
                request.stageIndex = 1
                request.stageCount = 2
                request.layerStart = 3
                request.kvBlockCount = 64
                request.kvBlockSize = 4
                request.kvType = "f16"
                request.maxBatchedTokens = 16
                change(&request)
                do {
                    let response = try await client.unary(PipelineService.join, request)
                    #expect(response.layerEnd == 6)
                    return nil
                } catch let error as RPCError {
                    #expect(error.code == .failedPrecondition)
                    return error.message
                }
            }
            #expect(try await refusal { $0.modelDigest = "other" }?.contains("no model of digest other") == true)
            let stage1 = "stage 1 of 2 has"
            #expect(try await refusal { $0.layerStart = 2 } == "\(stage1) first layer 3; asked for 2")
            #expect(try await refusal { $0.stageIndex = 2 } == "\(stage1) index 1; asked for 2")
            #expect(try await refusal { $0.stageCount = 3 } == "\(stage1) stage count 2; asked for 3")
            #expect(try await refusal { $0.kvBlockCount = 65 } == "\(stage1) KV block count 64; asked for 65")
            #expect(try await refusal { $0.kvBlockSize = 16 } == "\(stage1) KV block size 4; asked for 16")
            #expect(try await refusal { $0.kvType = "int8" } == "\(stage1) KV cache type f16; asked for int8")
            #expect(try await refusal { $0.kvType = "" } == "\(stage1) KV cache type f16; asked for unknown")
            #expect(
                try await refusal { $0.maxBatchedTokens = 17 } == "\(stage1) most tokens of a step 16; asked for 17")
            #expect(!stage.isJoined)
            #expect(try await refusal { _ in } == nil)
            #expect(stage.isJoined)
            await client.close()
            tasks.cancelAll()
        }
    }

    @Test("a head and a stage with different KV cache types do not serve, and both types are named")
    func differentCacheTypes() async throws {
        let model = TestModel(
            makeStage: { FakeStage(layers: $0, kvType: $0.lowerBound == 0 ? "f16" : "int8") },
            served: TestModel.fake.served)
        try await TestGroup.run([0..<3, 3..<6], model: model) { group in
            let deadline = ContinuousClock.now + .seconds(20)
            var problem = ""
            while !problem.contains("KV"), ContinuousClock.now < deadline {
                problem = try await group.client.unary(InferenceService.describe, .init()).models[0].problem
                await Task.yield()
            }
            #expect(
                problem == "a pipeline stage is not linked: stage 1 of 2 has KV cache type int8; asked for f16")
            #expect(await group.generate(TestGroup.request(1)).code == .unavailable)
        }
    }
}
