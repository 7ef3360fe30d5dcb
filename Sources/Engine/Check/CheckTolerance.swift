import Tensors
import Transformer

extension CheckReport.Tolerance {
    /// What a model may differ by.
    ///
    /// - In f32: 1e-4 everywhere, and every greedy token. Two implementations in f32 differ by up to 5e-5.
    /// - On the fast path: what the expectation says llama.cpp differs by, else what the stored types warrant.
    init(_ weights: ModelWeights, expectation: CheckExpectation, exact: Bool) {
        self.init(greedyMustAgree: exact, source: "f32", routerMargin: 0)
        if exact {
            max = 1e-4
            return
        }
        let weightClass = WeightClass(weights)
        routerMargin = Self.fastRouterMargin
        if let figures = expectation.yardstick?.asIs {
            (median, p90, source) = (figures.median, figures.p90, "llama.cpp")
        } else {
            (median, p90, source) = (weightClass.median, weightClass.p90, weightClass.name)
        }
    }

    /// Rounding of the KV cache to f16 moves the router's scores by about this much.
    private static let fastRouterMargin = 0.002

    /// The coarsest kind of matrix in a model, and what it warrants.
    private struct WeightClass {
        let name: String
        let median: Double
        let p90: Double

        init(_ weights: ModelWeights) {
            let types = weights.matrixTypes
            if types.contains(where: { $0.blockSize > 1 }) {
                (name, median, p90) = ("quantised weights", 0.25, 0.6)
            } else if types.contains(.f8_E4M3) {
                (name, median, p90) = ("FP8 weights", 0.01, 0.02)
            } else {
                (name, median, p90) = ("float weights", 0.007, 0.013)
            }
        }
    }
}
