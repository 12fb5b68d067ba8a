// The transcripts of tests/spec, so that one wildcard finds every end-to-end test.
import '../spec/run.test.js';
