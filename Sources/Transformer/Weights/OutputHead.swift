import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// The last RMS norm and the LM head.
struct OutputHead {
    /// [D].
    let norm: AlignedVector
    /// [V, D]; the token embedding where the model ties the two.
    let projection: Projection

    /// - Throws: `ModelFileError` for a missing tensor; ``InferenceError`` `unsupportedModel` for a wrong shape or type.
    init(_ loader: LayerLoader) throws {
        let model = loader.model
        norm = try loader.weights.norm(TensorName.outputNorm, count: model.modelWidth)
        projection = try loader.packing("LM head") {
            try loader.projection([
                loader.weights.tensor(loader.weights.headName, shape: [model.vocabularySize, model.modelWidth])
            ])
        }
    }
}
