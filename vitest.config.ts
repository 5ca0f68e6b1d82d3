import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.slow.test.ts', 'test/interop/**/*.go.test.ts'],
    setupFiles: ['test/support/fixed-seed.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
})
