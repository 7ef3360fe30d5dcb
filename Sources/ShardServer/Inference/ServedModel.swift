import ChatTemplate
import InferenceCore
import ModelFiles
import Tokenization
import WireProtocols

/// The model as callers see it: its name, its tokeniser and its chat template.
package struct ServedModel: Sendable {
    package let name: String
    /// See ``ModelIdentity``.
    package let digest: String
    package let architecture: String
    package let tokenizer: any Tokenizer
    /// nil: the file has none, and chats are refused.
    package let chatTemplate: ChatTemplate?

    /// How the model writes answers to chats.
    package let chatFormat: ChatFormat
    let controlTokens: ControlTokens
    let templateTraits: ChatTemplateTraits?

    package init(
        name: String, digest: String, architecture: String, tokenizer: any Tokenizer, chatTemplate: ChatTemplate?
    ) {
        chatFormat =
            chatTemplate.map { ChatFormat(template: $0.source) } ?? ChatFormat(reasons: false, toolCalls: .none)
        controlTokens = ControlTokens(tokenizer)
        templateTraits = chatTemplate.map(ChatTemplateTraits.init)
        self.name = name
        self.digest = digest
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.chatTemplate = chatTemplate
    }

    /// Reads tokeniser and template from a model.
    ///
    /// - Throws: `InferenceError` `unsupportedModel` for one that is no GGUF file.
    package init(name: String, source: any TensorSource, identity: ModelIdentity) throws {
        guard let file = source as? GGUFFile else {
            throw InferenceError(
                code: .unsupportedModel, message: "tokeniser and chat template are read from GGUF files only")
        }
        let source = try file.metadata.stringIfPresent("tokenizer.chat_template")
        self.init(
            name: name, digest: identity.digest,
            architecture: try file.metadata.string("general.architecture"),
            tokenizer: try TokenizerLoader.load(gguf: file.metadata),
            chatTemplate: try source.map { try ChatTemplate(source: $0) })
    }

    /// The bytes a token stands for; a special token's are its text.
    package func bytes(of token: TokenID) -> [UInt8] {
        tokenizer.specialText(of: token).map { Array($0.utf8) } ?? tokenizer.bytes(of: token)
    }
}
