import { render } from 'preact'
import { App } from './app.tsx'
import { showTextVisibly } from './shared/visible.ts'

showTextVisibly()
const page = document.getElementById('page')
if (page) {
  page.replaceChildren()
  render(<App />, page)
}
