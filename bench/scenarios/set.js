'use strict';
const throughput = require('../throughput.js');

exports.about = 'SET over 1 M keys, 50 connections, one worker on a core of its own';
exports.run = (ctx) => throughput.run(ctx, 'set', { 1: 1.0, 16: 0.55, 64: 0.36 });
