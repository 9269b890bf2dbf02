"""Before customers find out: is everything set up, and does the whole way of a purchase work?"""
