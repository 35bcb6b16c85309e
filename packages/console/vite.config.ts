import { defineConfig } from 'vite'

export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // One script and one style sheet: nothing to preload, and no code for it.
    modulePreload: false,
    // The page's policy allows files of our own only, no `data:` URLs beside images.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
})
