const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

/** One quiet line a step: drawn in place on a terminal, written once when it is done elsewhere. */
export class Progress {
  constructor(stream) {
    this.stream = stream
    this.live = Boolean(stream.isTTY)
    this.timer = undefined
  }

  async step(done, doing, work) {
    const started = Date.now()
    const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`
    if (this.live) {
      let frame = 0
      this.timer = setInterval(() => {
        this.stream.write(`\r\x1b[K  ${FRAMES[frame++ % FRAMES.length]} ${doing}  \x1b[2m${seconds()}\x1b[22m`)
      }, 80)
    }
    const result = await work()
    this.clear()
    this.stream.write(
      this.live ? `  \x1b[32m✓\x1b[39m ${done}  \x1b[2m${seconds()}\x1b[22m\n` : `${done} (${seconds()})\n`,
    )
    return result
  }

  /** Something to know that keeps nothing from going on. */
  note(text) {
    this.clear()
    this.stream.write(`\n${text}\n\n`)
  }

  /** Takes the moving line away, so that what follows stands at the beginning of a line. */
  clear() {
    clearInterval(this.timer)
    if (this.live && this.timer) this.stream.write('\r\x1b[K')
    this.timer = undefined
  }
}
