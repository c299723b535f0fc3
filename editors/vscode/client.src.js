// The client: it starts `netdsl lsp`, and shows what the lenses ask for.
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const [command, ...args] = vscode.workspace.getConfiguration("netdsl").get("command");
  const run = { command, args };
  client = new LanguageClient("netdsl", "netdsl", run, {
    documentSelector: [{ language: "netdsl" }],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.net") },
    middleware: {
      executeCommand: async (name, given, next) => {
        const answer = await next(name, given);
        if (name === "netdsl.summary" && typeof answer === "string") {
          const document = await vscode.workspace.openTextDocument({ content: answer });
          await vscode.window.showTextDocument(document, { preview: true, viewColumn: vscode.ViewColumn.Beside });
        }
        return answer;
      },
    },
  });
  await client.start();
}

exports.activate = async function (context) {
  const commands = {
    "netdsl.restart": async () => {
      await client?.stop();
      await start();
    },
    "netdsl.train": (uri, recipe) => {
      const terminal = vscode.window.createTerminal("netdsl train");
      terminal.show();
      terminal.sendText(`netdsl train "${vscode.Uri.parse(uri).fsPath}:${recipe}"`, false);
    },
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, run));
  }
  try {
    await start();
  } catch (error) {
    vscode.window.showErrorMessage(`The netdsl language server did not start: pip install 'netdsl[lsp]'. ${error.message}`);
  }
};

exports.deactivate = () => client?.stop();
