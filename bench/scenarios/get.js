'use strict';
const throughput = require('../throughput.js');

exports.about = 'GET of 1 M keys, 50 connections, one worker on a core of its own';
exports.run = (ctx) => throughput.run(ctx, 'get', { 1: 0.95, 16: 0.42, 64: 0.28 });
