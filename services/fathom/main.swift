import FathomCommand

await FathomTool.runMain(CommandLine.arguments)
