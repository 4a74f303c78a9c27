#!/bin/sh
echo "low in $LOW_HOME"
