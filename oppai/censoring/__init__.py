"""Censor pictures: mosaics, blur, light, white, black."""
