// The one entry of every npm script. This file must stay readable for any Node, however old, so that it can say so.
const version = process.versions.node
if (Number.parseInt(version, 10) < 18) {
  console.error(
    `Node ${version} is too old for set-up: it needs 18 or later (AgentOS itself runs on a Node 26 that it brings).\n` +
      'Install a current Node, for example with your system\'s package manager or nvm ("nvm install --lts"), then run the command again.',
  )
  process.exitCode = 1
} else {
  import('./setup/main.mjs').then(({ main }) => main(process.argv.slice(2)))
}
