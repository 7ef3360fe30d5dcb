import RetrievalCore
import Testing

struct RankFusionTests {
    @Test("the fused score is the normalised sum of reciprocal ranks")
    func formula() {
        let fused = RankFusion.fuse([["a", "b", "c"], ["b", "d"]])
        let greatest = 2.0 / 61
        #expect(fused.map(\.id) == ["b", "a", "d", "c"])
        #expect(abs(fused[0].score - (1.0 / 62 + 1.0 / 61) / greatest) < 1e-12)
        #expect(abs(fused[1].score - (1.0 / 61) / greatest) < 1e-12)
        #expect(abs(fused[3].score - (1.0 / 63) / greatest) < 1e-12)
    }

    @Test("what is first everywhere scores one, and ties keep the order of appearance")
    func extremes() {
        #expect(RankFusion.fuse([[1, 2], [1, 3]]).first?.score == 1)
        #expect(RankFusion.fuse([[5, 6], [7, 8]]).map(\.id) == [5, 7, 6, 8])
        #expect(RankFusion.fuse([[Int]]()).isEmpty)
        #expect(RankFusion.fuse([[Int](), []]).isEmpty)
    }
}
