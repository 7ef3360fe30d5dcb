import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// The last RMS norm and the LM head.
struct OutputHead {
    /// [D].
    let norm: AlignedBuffer<Float>
    /// [V, D]; the token embedding where the file ties the two.
    let projection: PackedMatrix

    /// - Throws: `ModelFileError` for a missing tensor; ``InferenceError`` `unsupportedModel` for a wrong shape or type.
    init(file: GGUFFile, model: ModelConfiguration, pool: ThreadPool) throws {
        let source = file.tensors[TensorName.output] == nil ? TensorName.tokenEmbedding : TensorName.output
        norm = try file.tensor(TensorName.outputNorm).expectingShape([model.modelWidth]).loadedVector()
        do {
            projection = try PackedMatrix(
                file.tensor(source).expectingShape([model.vocabularySize, model.modelWidth]), pool: pool)
        } catch let error as KernelError {
            throw InferenceError(code: .unsupportedModel, message: "LM head: \(error.message)", cause: error)
        }
    }
}
