import Testing
import Transformer

@Suite struct StageFootprintTests {
    @Test("what a stage will take is known from the header", arguments: [1, 2, 3])
    func matchesStage(stages: Int) throws {
        let weights = try ModelWeights(file: StageHarness.openModel())
        let configuration = StageConfiguration(threads: 1, kvBlockCount: 32, maxBatchedTokens: 64)
        for layers in try ModelConfiguration.partition(weights, stages: stages) {
            let footprint = try StageFootprint(weights, layers: layers, configuration: configuration)
            let stage = try TransformerStage(weights, layers: layers, configuration: configuration)
            #expect(footprint.weightByteCount == stage.weightByteCount)
            #expect(footprint.kvCacheByteCount == stage.kvCacheByteCount)
            #expect(footprint.scratchByteCount > 0)
        }
    }
}
