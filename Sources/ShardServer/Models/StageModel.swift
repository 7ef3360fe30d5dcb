/// A model that a stage after the first has loaded.
package final class StageModel: HostedModel {
    package let service: StageService

    package init(service: StageService) {
        self.service = service
    }

    /// Everything happens on the event loops and the compute thread.
    package func run() async {}

    package func waitUntilUsable() async throws {}

    package func stop() async {
        await service.stop()
    }
}
